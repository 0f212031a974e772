"""Stand-ins for what surrounds the executive: products, used by tests and by the simulated day."""
