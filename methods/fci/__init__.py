"""PC and FCI on few variables, for many data sets at once: each edge mark is a bit plane, with one
bit per data set. `cdnbench.methods.cdn.paper.marginals` runs them on batches of variables."""
