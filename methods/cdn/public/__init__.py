"""`cdn-public`: the authors' networks with the authors' weights, and how their checkpoints are
read."""
