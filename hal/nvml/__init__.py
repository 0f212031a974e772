"""The driver of NVIDIA GPUs through NVML, and their ladder of resets."""
