"""Findings as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cdnbench.prediction.result import Finding, Result
from cdnbench.prediction.verdict import listed


def ranking_lines(finding: Finding, top: int) -> Iterator[str]:
    """One finding: its sizes, its verdict, then a line per variable; or why there is none."""
    if finding.failed:
        yield f"{finding.method} gave no ranking ({finding.note})"
        return
    yield (
        f"{finding.method}: {len(finding.variables)} variables, {finding.n_control} control and "
        f"{finding.n_perturbed} perturbed samples"
    )
    if finding.sentence:
        yield finding.sentence
    names = [str(name) for name in finding.variables[:top]]
    width = max(8, *map(len, names))
    sure = finding.probability is not None
    yield (
        f"rank  {'variable':<{width}}  {'score':>9}  "
        + ("probability  " if sure else "")
        + "log fold change"
    )
    for i, name in enumerate(names):
        chance = f"{finding.probability[i]:>11.3g}  " if finding.probability is not None else ""
        yield (
            f"{finding.rank[i]:>4g}  {name:<{width}}  {finding.scores[i]:>9.4g}  {chance}"
            f"{finding.log_fold_change[i]:>15.3g}"
        )
    unscored = sum(score != score for score in finding.scores)
    if unscored:
        yield f"{unscored} variables could not be scored; they stand last."


def table_lines(result: Result, top: int) -> Iterator[str]:
    """Many findings: a line each, with the `top` likeliest targets."""
    groups = len({f.group for f in result.findings}) > 1
    methods = len({f.method for f in result.findings}) > 1
    sure = any(f.probability is not None for f in result.findings)
    header = ["perturbation", *["group"] * groups, *["method"] * methods]
    n_text = len(header)
    header += ["rows", "controls", "q", "score", *["probability"] * sure, "log FC"]
    n_number = len(header) - n_text
    header += ["likeliest targets", "verdict"]
    lines = [header]
    for f in result.findings:
        names = [f.perturbation, *[f.group] * groups, *[f.method] * methods]
        numbers = [str(f.n_perturbed), str(f.n_control), _number(f.q, ".2g")]
        if f.failed:
            numbers += [""] * (n_number - len(numbers))
            lines.append([*names, *numbers, "", f"({f.note})"])
            continue
        numbers += [f"{f.scores[0]:.4g}"]
        if sure:
            numbers.append("" if f.probability is None else _number(f.probability[0], ".2f"))
        numbers.append(f"{f.log_fold_change[0]:+.3g}")
        found = ", ".join(map(str, f.variables[:top]))
        lines.append([*names, *numbers, found, short_verdict(f)])
    yield from _aligned(lines, range(n_text, n_text + n_number))


def short_verdict(finding: Finding) -> str:
    """The verdict and the variables that it names: `targets: STAT1 and IRF1`."""
    named = f": {listed(finding.named)}" if finding.named else ""
    return f"{finding.verdict or ''}{named}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None or value != value else f"{value:{form}}"


def _aligned(lines: Sequence[Sequence[str]], numbers: range) -> Iterator[str]:
    """Columns of equal width; `numbers` stand on the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if i in numbers else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
