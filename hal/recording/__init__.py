"""Boards recorded, and played back as boards."""
