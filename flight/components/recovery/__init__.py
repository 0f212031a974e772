"""Decides what follows from a fault of the board: the ladder, strikes and budgets."""
