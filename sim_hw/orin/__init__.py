"""The emulated Jetson Orin: kernel files, faults and vendor tools."""
