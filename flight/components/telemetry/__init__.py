"""Sends housekeeping: periodic, on demand and on change."""
