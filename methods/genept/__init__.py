"""GenePT: from what is written about a gene to what its perturbation does."""
