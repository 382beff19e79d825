"""Extractors of attached images."""
