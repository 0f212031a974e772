"""What every worker process shares: its lifeline, warm imports, the cache of compiled kernels."""
