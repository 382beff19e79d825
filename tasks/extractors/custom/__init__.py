"""Extractors that the settings or ``otzyv adapt`` define."""
