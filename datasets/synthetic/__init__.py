"""Synthetic structural causal models: graphs, mechanisms, interventions, the suites made of them,
and the ceiling.

- recipe: every parameter that determines one dataset, and its hash
- draws: random values by inversion of uniforms, the same on every machine
- graphs, mechanisms, interventions: the laws
- generate: recipe -> simulation, with its whole truth; tasks: simulation -> what methods and
  metrics get
- ceiling: the likelihood-ratio oracle; likelihoods, quadrature: its integrals
- sortability: how far variances and R^2 alone give away the causal order
- suites: the named lists of recipes; freeze keeps them from drifting
"""
