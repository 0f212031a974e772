"""The process around the executive: its real clock, sockets and first reads."""
