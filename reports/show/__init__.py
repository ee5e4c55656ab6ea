"""How tables are shown: on terminals, in LaTeX, and in HTML."""
