"""Cells: from raw Perturb-seq and Sci-Plex counts to tasks."""
