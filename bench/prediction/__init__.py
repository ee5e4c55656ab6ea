"""What `bench predict` finds in samples of a user's own.

options     what a user says about a file (`Reading`)
screening   what a file holds: comparisons, effects of each variable, and the tasks they become
suite       a screen as a suite, so that the runner can run methods on it
methods     which methods may be asked for
choice      which method suits the samples, on the evidence of stored results
agreement   how far two rankings agree
certainty   whether anything moved: p-values, by permutations or by moderated t
calibration probabilities from the logits of a network
verdict     what follows at a stated false discovery rate
result      `Finding` and `Result`: rankings, and how they are shown and written
pair        the finding of two files

Files are read by `cdnbench.datasets.cells.screens.own_screen`, and `cdnbench.commands.screen`
brings reader, runner and result together.
"""

from __future__ import annotations

from cdnbench.prediction.result import Finding, Result

__all__ = ["Finding", "Result"]
