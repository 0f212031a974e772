"""How much radiation there is now, and what it means for jobs: docs/adaptive-protection.md."""
