"""Extractors of attached recordings."""
