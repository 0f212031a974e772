"""The jobs that ship with the stack, one folder a job, and what every job is written against."""
