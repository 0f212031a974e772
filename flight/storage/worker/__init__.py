"""The storage worker: every open, write and fsync, with group commit; and the file protector."""
