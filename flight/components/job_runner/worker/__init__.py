"""The launcher, and the job workers that it forks."""
