"""What recovery is decided by: the ladder, the table of faults, strikes and budgets."""
