"""Faults at will, and what must hold after each: shared by the tests and by longer runs with greater counts."""
