"""What `bench predict` does beyond calling a method: which method suits the samples, and how far
two rankings agree."""
