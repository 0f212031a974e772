"""Runs GPU jobs from submission to products, over crashes, hangs and restarts."""
