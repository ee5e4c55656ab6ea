"""Trials of what `bench` promises, one module per section of docs/results/trust.txt.

Each module has `SUMMARY`, a line for `--help`, `NUMBER`, how many trials it makes by default, and
`main(number, seed)`, which returns the section as text. `benchmarks/trust.py` runs them.
"""
