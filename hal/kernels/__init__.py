"""Kernels: one file each, with its plain reference first, then its host form, then CUDA."""

from hal.kernels.kernel import Kernel

__all__ = ["Kernel"]
