"""What the ground server and its clients agree on."""

from __future__ import annotations

LARGEST = 16 * 1024 * 1024
"""Octets of one message on the API socket; a larger one is dropped by ZeroMQ."""
