"""Extractors that read the vectors of another extractor."""
