"""The driver of Jetson modules through the kernel's files."""
