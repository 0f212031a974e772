"""Checks whether a machine can fly a payload, and says what to do where it cannot."""
