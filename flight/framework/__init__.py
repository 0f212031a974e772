"""The executive, and what a component is built of: declaration, queues, clock, worker links."""
