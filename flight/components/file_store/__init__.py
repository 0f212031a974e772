"""Files up and down: numbered segments, checked, resumable over restarts."""
