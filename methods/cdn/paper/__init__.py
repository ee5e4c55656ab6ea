"""The paper's causal differential networks, `cdn-axial` and `cdn-mlp`: what they read of a data set
(marginal estimates and a global statistic), the encoder SEA, and the heads on it."""
