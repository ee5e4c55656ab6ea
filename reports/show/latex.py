"""Tables as LaTeX with booktabs: one float per block, or several where it is more than a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from cdnbench.reports.show import layout
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


_HYPHENS = re.compile("(?<=-)(?=-)")


def escape(text: str) -> str:
    r"""The text with all that LaTeX would read as markup escaped: `a_b ± 1` -> `a\_b $\pm$ 1`."""
    return "{}".join(  # two hyphens would be set as one dash
        "".join(_SPECIAL.get(character, character) for character in piece)
        for piece in _HYPHENS.split(text)
    )


_BREAKABLE = re.compile(r"(?<=[,/=:.])(?=\w)")
"""Where a long word may be broken: after these signs."""
_LONG = 24
_FLOATS = 12
"""After so many floats LaTeX is told to set them: it keeps a limited number back."""


def latex(table: Table, command: str = "") -> str:
    """The whole table. The packages that it needs are named in its first lines; UTF-8 is LaTeX's
    default.

    Blocks that are wide are set small or sideways, and in several parts where they are more than a
    page; rows without any entry in a part are left out of it. LaTeX scales what would still be
    wider than the text. Notes stand below the last part of their block, those of the table below
    its last block.

    command: what made it, for a comment.
    """
    blocks = [*table.blocks]
    if blocks:
        blocks[-1] = replace(blocks[-1], notes=(*blocks[-1].notes, *table.notes))
    floats = [
        _float(table, part, i) for i, block in enumerate(blocks) for part in layout.parts(block)
    ]
    if len(floats) > _FLOATS:
        ends = range(_FLOATS - 1, len(floats) - 1, _FLOATS)
        floats = [f + "\n\n\\clearpage" if i in ends else f for i, f in enumerate(floats)]
    packages = ["booktabs", "graphicx"]
    packages += ["rotating"] if any(r"\begin{sidewaystable}" in text for text in floats) else []
    lines = [
        f"% {table.title}: {command or f'bench report --table {table.name} --latex'}",
        *(rf"% \usepackage{{{package}}}" for package in packages),
    ]
    return "\n".join([*lines, *floats]) + "\n"


def _float(table: Table, part: layout.Part, index: int) -> str:
    block = part.block
    told = f"{_caption(table.title)}: {block.title}"
    told += f" ({part.number + 1} of {part.of})" if part.of > 1 else ""
    label = f"tab:{table.name}-{slug(block.title) or index}"
    label += f"-{part.number + 1}" if part.number else ""
    spec = "".join("l" if column.align == "left" else "r" for column in block.columns)
    kind, place = ("sidewaystable", "p") if part.sideways else ("table", "tbp")
    lines = [
        "",
        rf"\begin{{{kind}}}[{place}]",
        rf"\sloppy\centering\{part.size.name}\setlength{{\tabcolsep}}{{{layout.GAP / 2:g}pt}}",
        rf"\caption{{{_text(told)}.}}",
        rf"\label{{{label}}}",
        # The width is LaTeX's own: it depends on the class and the fonts of the document.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
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
    lines += [r"\bottomrule", r"\end{tabular}}", *_notes(block.notes)]
    return "\n".join([*lines, rf"\end{{{kind}}}"])


def _caption(title: str) -> str:
    """The title for a caption, to which LaTeX gives a number of its own: `Table 9: running times`
    -> `Running times (the paper's Table 9)`."""
    found = re.fullmatch(r"(Table \d+)(?:: (.+))?", title)
    if found is None:
        return title
    paper, text = found.groups()
    return f"{text[0].upper()}{text[1:]} (the paper's {paper})" if text else f"The paper's {paper}"


def _notes(notes: Sequence[str]) -> list[str]:
    """The notes as wide as the text, below the rows."""
    if not notes:
        return []
    return [
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\scriptsize\raggedright",
        "\\par\n".join(_text(_sentence(note)) for note in notes),
        r"\end{minipage}",
    ]


def _text(text: str) -> str:
    """Escaped text of a paragraph, whose long words may be broken."""
    return " ".join(
        r"\allowbreak{}".join(map(escape, _BREAKABLE.split(word)))
        if len(word) > _LONG
        else escape(word)
        for word in text.split(" ")
    )


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
