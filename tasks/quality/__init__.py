"""Measured figures of tables, and the page that shows them."""
