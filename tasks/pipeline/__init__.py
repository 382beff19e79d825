"""Joins the lake and the extractors, and knows no Prefect: what of a day is to be made, and of what it was made."""
