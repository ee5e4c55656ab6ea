"""Screens: from published counts to prepared cell lines.

- catalogue, sources: public screens, and public knowledge of genes; fetch: their download
- raw: files of counts in their forms; counts: what makes a matrix one, and its normalisation
- options: all thresholds, with their sources
- survey: which cells and genes are kept; differential: tests; choose: which perturbations become
  tasks; split: training and test; noise: the noise ceiling
- prepare: all of these in order
"""
