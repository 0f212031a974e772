"""Walks memory at rest, sets upsets right, and decides what follows from lost blocks."""
