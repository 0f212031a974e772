"""Holds the hardware watchdog's device."""
