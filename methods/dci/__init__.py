"""Difference causal inference: our own implementation, and its reference."""
