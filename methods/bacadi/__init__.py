"""BaCaDI: Bayesian causal discovery with unknown interventions by Stein variational gradient
descent."""
