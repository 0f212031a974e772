"""Starts, watches and restarts every process of the payload; standard library only."""
