"""What flies: the executive with its components, the supervisor above and the workers beside it."""
