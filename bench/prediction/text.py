"""Findings as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cdnbench.prediction.result import Finding, Result


def ranking_lines(finding: Finding, top: int) -> Iterator[str]:
    """One finding: its sizes, then a line per variable."""
    yield (
        f"{finding.method}: {len(finding.variables)} variables, {finding.n_control} control and "
        f"{finding.n_perturbed} perturbed samples"
    )
    names = [str(name) for name in finding.variables[:top]]
    width = max(8, *map(len, names))
    yield f"rank  {'variable':<{width}}  {'score':>9}  log fold change"
    ranked = zip(finding.rank, names, finding.scores, finding.log_fold_change, strict=False)
    for rank, name, score, change in ranked:
        yield f"{rank:>4g}  {name:<{width}}  {score:>9.4g}  {change:>15.3g}"
    unscored = sum(score != score for score in finding.scores)
    if unscored:
        yield f"{unscored} variables could not be scored; they stand last."


def table_lines(result: Result, top: int) -> Iterator[str]:
    """Many findings: a line each, with the `top` likeliest targets."""
    groups = len({f.group for f in result.findings}) > 1
    methods = len({f.method for f in result.findings}) > 1
    header = ["perturbation", *["group"] * groups, *["method"] * methods]
    header += ["rows", "controls", "score", "log FC", "likeliest targets"]
    lines = [header]
    for f in result.findings:
        names = [f.perturbation, *[f.group] * groups, *[f.method] * methods]
        sizes = [str(f.n_perturbed), str(f.n_control)]
        if f.failed:
            lines.append([*names, *sizes, "", "", f"({f.note})"])
            continue
        found = ", ".join(map(str, f.variables[:top]))
        lines.append([*names, *sizes, f"{f.scores[0]:.4g}", f"{f.log_fold_change[0]:+.3g}", found])
    yield from _aligned(lines, text=len(header) - 5)


def _aligned(lines: Sequence[Sequence[str]], text: int) -> Iterator[str]:
    """Columns of equal width; the first `text` and the last stand on the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.ljust(width) if i < text or i == len(line) - 1 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
