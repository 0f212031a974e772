"""Error detection and correction for memory and files, at the speed of memory: see docs/edac.md."""
