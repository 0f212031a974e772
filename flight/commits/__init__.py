"""Commits of jobs: two slots in mapped files, each whole or not valid, in two formats."""
