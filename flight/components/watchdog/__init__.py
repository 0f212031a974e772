"""Finds components and workers that no longer answer, and strokes the hardware watchdog."""
