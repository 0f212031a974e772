"""Clients of the ground server, synchronous and asynchronous."""
