"""The scrub worker: walks sealed regions at a bounded rate."""
