"""Compute devices: open, allocate, copy, launch, synchronise, on the host or on CUDA."""
