"""Methods that learn from the shifts of labelled perturbations, one pseudobulk profile each."""
