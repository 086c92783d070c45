"""Faults inside the service: a server that has them, and what its clients then see."""
