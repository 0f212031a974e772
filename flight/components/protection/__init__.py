"""Decides how jobs' results are protected, by forecast, measured errors and telecommand."""
