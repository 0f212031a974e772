"""An emulated libnvidia-ml.so.1: C source, builder, and the memory shared with the model."""
