"""Fault-injection campaigns: what faults do to results, counted: docs/campaigns.md."""
