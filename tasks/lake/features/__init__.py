"""What extractors made: rows that can be used again, and the models and texts that they were made of."""
