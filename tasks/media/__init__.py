"""Attached files: what they are, and their bytes as the arrays that extractors read, in children with limits."""
