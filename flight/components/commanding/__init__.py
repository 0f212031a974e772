"""Takes telecommands: accepts, dispatches, and reports each stage to who asked."""
