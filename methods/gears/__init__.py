"""GEARS: predicts the shift of all genes that a perturbation of one gene makes, from what its
neighbours in the gene ontology did."""
