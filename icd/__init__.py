"""What payload and ground must agree on; nothing here runs."""
