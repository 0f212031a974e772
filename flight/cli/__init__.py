"""What the command `flight` does, one file a command."""
