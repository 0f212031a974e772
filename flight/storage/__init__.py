"""How the executive reads and writes files without ever waiting for a disk."""
