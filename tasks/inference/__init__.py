"""Runs networks: their engines, tokenizers and transformers, and what other libraries need to be told first."""
