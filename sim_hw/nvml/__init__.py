"""The emulated boards with NVML: profiles, faults, what resets cure, and vendor tools."""
