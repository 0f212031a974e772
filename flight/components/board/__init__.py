"""Watches the board: readings with validity, faults, power limits, and the board server."""
