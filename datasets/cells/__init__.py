"""Cells: from raw Perturb-seq and Sci-Plex counts to tasks.

- suites: perturbseq and sciplex
- splits: what methods are trained on, and what of the test they have then seen
- masking: hiding the target's own change
- prepared: the file of a prepared cell line, which all of the above read
- screens: from published counts to prepared lines
- simulated: the lines that stand in where there are none
"""
