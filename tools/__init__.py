"""Checks of the repository itself, and builders of its data; nothing here is installed."""
