"""CDN, causal differential networks: featurise both data sets with a causal-discovery network,
classify the nodes whose mechanism changed."""
