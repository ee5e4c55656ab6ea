"""PDGrapher: two graph neural networks over a gene network, one from targets to the response, one
from the response to targets."""
