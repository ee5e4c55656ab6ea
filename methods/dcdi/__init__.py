"""DCDI: differentiable causal discovery from interventional data, for many data sets at once."""
