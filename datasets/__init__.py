"""Where tasks come from: one module a suite family. See `cdnbench.suite` for the protocol they
follow."""
