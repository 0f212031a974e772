"""The board server: every call into a driver."""
