"""Accounts for the executive itself: raising components, slipped cycles, full queues."""
