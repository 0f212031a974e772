"""Scrubbing of memory at rest: how fast, in which order, and what follows from what is found."""
