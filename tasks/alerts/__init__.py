"""Alerts: their kinds, their state, and the receivers that they are sent to."""
