"""The findings of one task: two files, or arrays of a user's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.loaded import LoadedMethod
from cdnbench.pairs import Pair
from cdnbench.prediction.choice import Choice
from cdnbench.prediction.judging import (
    FDR,
    Evidence,
    agreements,
    drawn_values,
    evidence_of,
    judged,
)
from cdnbench.prediction.methods import AUTO, Selection, is_auto, text_of, why_not
from cdnbench.prediction.result import Finding, Result
from cdnbench.prediction.screening import TESTED, log_fold_change, note_on_fold_changes
from cdnbench.prediction.task import choose_for, prepared
from cdnbench.printable import printable
from cdnbench.record import Status
from cdnbench.scales import are_shares
from cdnbench.task import Task
from cdnbench.values import Extent, Kind


def finding_of(task: Task, method: LoadedMethod, seed: int = 0) -> Finding:
    """What a method says of the first regime of a task. Raises as `LoadedMethod.predict`."""
    before, after = task.observational, task.regimes[0]
    prediction = method.predict(_copy(task), seed=seed)
    change = log_fold_change(
        before.mean(axis=0, dtype=np.float64),
        after.mean(axis=0, dtype=np.float64),
        _kind(before, after),
    )
    nothing = np.empty(0)
    found = Finding.ranked(
        np.array(task.variables, dtype=object),
        prediction.outputs[method.variant][0],
        np.empty(0, dtype=object),
        {"candidates": change, "outside": nothing},
        perturbation=task.name,
        method=text_of(method),
        n_control=len(before),
        n_perturbed=len(after),
        note=prediction.note,
    )
    first = task.variables.index(str(found.variables[0]))
    return replace(found, values=drawn_values(before[:, first], after[:, first]))


def predict_pair(pair: Pair, methods: str = AUTO, seed: int = 0, fdr: float = FDR) -> Result:
    """The findings of two files.

    methods: as `bench predict --method`. fdr: of the verdicts. A method that fails, or ends the
    program, has a finding without scores, whose note says why, as in the prediction of one file.

    Raises
    ------
    CannotRun: a method cannot run on these samples; the message names one that can.
    """
    task = pair.task
    choice = choose_for(task) if is_auto(methods) else Choice((), "")
    selection = Selection.by_evidence([choice]) if choice.methods else Selection.named(methods, 1)
    findings = []
    for method in selection.methods:
        own = prepared(task, choice, method.info.name)
        try:
            findings.append(finding_of(own, method, seed))
        except CannotRun as why:
            raise CannotRun(why_not(method, str(why))) from why
        except (Exception, SystemExit) as error:
            findings.append(_failed(own, method, error))
    tested = prepared(task, choice, choice.log_counts[0]) if choice.log_counts else task
    evidence = {(task.name, ""): _evidence(tested, seed)}
    by_text = {text_of(method): method for method in selection.methods}
    findings, on_certainty = judged(findings, by_text, evidence, fdr)
    agreed, on_agreement = agreements(findings)
    on_changes = note_on_fold_changes(_kind(tested.observational, tested.regimes[0]))
    notes = [*pair.notes, *selection.notes, on_changes, *on_certainty, *on_agreement]
    settings = {"methods": list(by_text), "seed": seed, "fdr": fdr}
    return Result(tuple(findings), settings, tuple(dict.fromkeys(notes)), agreed)


def _kind(before: np.ndarray, after: np.ndarray) -> Kind:
    """The kind of the values of both sides. Shares are no logarithms, although they are small."""
    kind = (Extent.of(before) | Extent.of(after)).kind
    totals = [side.sum(axis=1, dtype=np.float64) for side in (before, after)]
    shares = kind == "log" and before.shape[1] > 1 and all(map(are_shares, totals))
    return "normalised" if shares else kind


def _failed(task: Task, method: LoadedMethod, error: BaseException) -> Finding:
    """The finding of a method that ended with an error."""
    reason = str(error).split("\n")[0]
    if isinstance(error, SystemExit):
        reason = f"the method ended the program (exit code {error.code}) before it gave scores"
    return Finding.without_scores(
        printable(f"{Status.error}: {type(error).__name__}: {reason}"),
        perturbation=task.name,
        method=text_of(method),
        n_control=len(task.observational),
        n_perturbed=len(task.regimes[0]),
    )


def _copy(task: Task) -> Task:
    """The task with samples of its own. A method that changes them changes nothing that is shown
    beside its scores, and nothing that the next method gets."""
    before, *after = (array.copy() for array in (task.observational, *task.regimes))
    for array in (before, *after):
        array.flags.writeable = False  # a task would copy what can be written to
    return replace(task, observational=before, regimes=after)


def _evidence(task: Task, seed: int) -> Evidence:
    """Whether anything moved among the variables that vary most over all rows."""
    before, after = task.observational, task.regimes[0]
    spread = np.concatenate([before, after]).std(axis=0, dtype=np.float64)
    tested = np.sort(np.argsort(-spread, kind="stable")[:TESTED])
    names = np.array(task.variables, dtype=object)[tested]
    return evidence_of(before[:, tested], after[:, tested], names, seed=seed)
