"""Programs that use the stack as an operator would."""
