"""Damage to stores: seeded, and of every kind that files in a folder of results have met.

`KINDS` has a function per kind. Each takes a random generator and the folder of a store, damages
one thing in it, and returns the path of what it damaged.
"""

from trials.damage import files, values  # each adds its kinds, in this order
from trials.damage.kinds import KINDS, one

__all__ = ["KINDS", "files", "one", "values"]
