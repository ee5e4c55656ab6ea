"""Simulated cell lines, which stand in where there are no screens.

- simulate: raw counts of a line
- knowledge: what would be known of its genes
- embedded: both, made once in the user's cache
"""
