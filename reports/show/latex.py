"""Tables as LaTeX with booktabs: one `table` environment per block, and nothing else to load."""

from __future__ import annotations

from cdnbench.reports.table import Block, Cell, Kind, Table, slug

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # a bracket after \\ would be read as its argument
    "]": "{]}",
    "±": r"$\pm$",
    "–": "--",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "Δ": r"$\Delta$",
    "−": "$-$",
    "→": r"$\to$",
}


def escape(text: str) -> str:
    r"""The text with all that LaTeX would read as markup escaped: `a_b ± 1` -> `a\_b $\pm$ 1`."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def latex(table: Table) -> str:
    """The whole table. Needs `\\usepackage{booktabs}` and UTF-8, which is LaTeX's default."""
    lines = [
        f"% {table.title}: bench report --table {table.name} --latex",
        r"% \usepackage{booktabs}",
    ]
    lines += [f"% {_one_line(note)}" for note in table.notes]
    return (
        "\n".join([*lines, *(_float(table, block, i) for i, block in enumerate(table.blocks))])
        + "\n"
    )


def _float(table: Table, block: Block, index: int) -> str:
    caption = " ".join(
        [
            f"{escape(table.title)}: {escape(block.title)}.",
            *(escape(_sentence(n)) for n in block.notes),
        ]
    )
    spec = "".join("l" if column.align == "left" else "r" for column in block.columns)
    lines = [
        "",
        r"\begin{table}[tbp]",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{table.name}-{slug(block.title) or index}}}",
        rf"\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
        r"\toprule",
        *_groups(block),
        " & ".join(escape(column.title) for column in block.columns) + r" \\",
        r"\midrule",
    ]
    for n, row in enumerate(block.rows):
        if n and row.kind != block.rows[n - 1].kind and block.rows[n - 1].kind == "reference":
            lines.append(r"\midrule")
        lines.append(" & ".join(_cell(cell, row.kind) for cell in row.cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _groups(block: Block) -> list[str]:
    """The spanning headings, with a rule under each."""
    heads, rules = [], []
    for group, first, last in block.groups:
        heads.append(
            rf"\multicolumn{{{last - first + 1}}}{{c}}{{{escape(group)}}}"
            if group
            else " & " * (last - first)
        )
        rules += [rf"\cmidrule(lr){{{first + 1}-{last + 1}}}"] if group else []
    return [" & ".join(heads) + r" \\", "".join(rules)] if heads else []


def _cell(cell: Cell, kind: Kind) -> str:
    text = escape(cell.shown)
    if not text:
        return ""
    if cell.best:
        return rf"\textbf{{{text}}}"
    return rf"\textit{{{text}}}" if kind in ("published", "reference") else text


def _sentence(text: str) -> str:
    text = _one_line(text)
    return text if text.endswith((".", "!", "?")) else text + "."


def _one_line(text: str) -> str:
    return " ".join(text.split())
