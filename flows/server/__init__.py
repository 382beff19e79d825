"""Prefect's server: found, or started for this process, behind a guard and a login."""
