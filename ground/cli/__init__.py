"""The subcommands of `ground`, one small file for each group."""
