"""Kernels that campaigns strike, each beside its settings."""
