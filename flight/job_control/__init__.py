"""What the job runner and its lifecycle speak in, and how the job table lies on disk."""
