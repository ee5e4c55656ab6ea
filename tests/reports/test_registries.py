"""Tables and figures are found in their folders, and listed without being imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cdnbench.reports
from cdnbench.errors import BenchError, UnknownName
from cdnbench.reports import build
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.figures import FIGURES
from cdnbench.reports.modules import Modules
from cdnbench.reports.tables import TABLES


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a module per (name, text)."""

    def make(**texts: str) -> Modules:
        folder = tmp_path / "found"
        folder.mkdir()
        for name, text in {"__init__": "", **texts}.items():
            (folder / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "found", raising=False)
        return Modules("found", "table", first="main")

    return make


def test_one_new_file_is_a_new_table(package):
    texts = {f"table{n}": f"SUMMARY = 'number ' '{n}'\nraise RuntimeError" for n in (11, 4)}
    found = package(**texts, main='"""Doc."""\nSUMMARY = ("the main one")\ndef build(): return 1\n')
    assert found.summaries == {"main": "the main one", "table4": "number 4", "table11": "number 11"}
    assert found.load("main").build() == 1
    with pytest.raises(UnknownName, match="no table named 'table5'. Did you mean table4"):
        found.load("table5")


def test_a_module_without_a_summary_is_named(package):
    with pytest.raises(ValueError, match="found.odd has no SUMMARY"):
        package(odd="def build(): ...").summaries  # noqa: B018


@pytest.mark.parametrize("registry", [TABLES, FIGURES], ids=["tables", "figures"])
def test_every_module_has_a_summary_of_one_line(registry):
    assert registry.names
    assert all(text and "\n" not in text for text in registry.summaries.values())


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from cdnbench.reports.tables import TABLES; "
        "from cdnbench.reports.figures import FIGURES; TABLES.summaries, FIGURES.summaries; "
        "print(*({'pandas', 'scipy', 'jinja2', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# Layers


def imported() -> dict[str, set[str]]:
    """Module of the reports -> the modules of the reports that it imports when it is imported."""
    folder = Path(cdnbench.reports.__file__).parent
    files = {
        ".".join(["cdnbench.reports", *path.relative_to(folder).with_suffix("").parts]): path
        for path in folder.rglob("*.py")
    }
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    found: dict[str, set[str]] = {}
    for name, path in files.items():
        names: set[str] = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
                names.add(str(node.module))
        found[name] = names & set(files) - {"cdnbench.reports"}
    return found


def test_imports_form_no_circle():
    found, done = imported(), set()
    assert len(found) > 20
    while rest := {name: wants - done for name, wants in found.items() if name not in done}:
        free = {name for name, wants in rest.items() if not wants}
        assert free, f"a circle among {sorted(rest)}"
        done |= free


def test_what_shows_tables_asks_for_none():
    makers = ("cdnbench.reports.tables", "cdnbench.reports.figures", "cdnbench.reports.report")
    for name, wants in imported().items():
        if name.startswith("cdnbench.reports.show"):
            assert not [want for want in wants if want.startswith(makers)], name


# Figures


def some_results(make_store):
    store = make_store()
    targets = store.one_target_each(4, 6)
    for protocol in ("clean", "dcdi"):
        for i in range(3):
            task = store.task(f"d{i}-{protocol}", targets, ceiling=targets * 1.0, protocol=protocol)
            store.job("my_method", task, store.at_place(targets, 1 + i))
            store.job("random", task, np.zeros(targets.shape))
    return build(store.store)


def test_a_figure_is_written_in_three_formats_per_block(make_store, tmp_path):
    files = some_results(make_store).figure("dots", tmp_path / "new" / "folder")
    names = {
        f"dots-synthetic-protocol-{p}.{form}"
        for p in ("clean", "dcdi")
        for form in ("pdf", "svg", "png")
    }
    assert {path.name for path in files} == names
    starts = {path.suffix: path.read_bytes()[:5] for path in files}
    assert starts[".pdf"] == b"%PDF-" and starts[".png"][1:4] == b"PNG"
    svg = next(path for path in files if path.suffix == ".svg").read_text()
    for text in ("my_method", "random", "ceiling", "synthetic, protocol clean"):
        assert text in svg


def test_the_dots_lie_at_the_means(make_store):
    results = some_results(make_store).results
    _, figure = next(FIGURES.load("dots").draw(results, Look()))
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    dots = [line for line in axes.lines if line.get_marker() != "None"]
    places = {labels[int(dot.get_ydata()[0])]: dot.get_xdata()[0] for dot in dots}
    assert places["ceiling"] == 1
    assert places["my_method"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_the_same_results_give_the_same_files(make_store, tmp_path):
    report = some_results(make_store)
    first, second = (report.figure("dots", tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_nothing_to_draw_is_an_error(make_store, tmp_path):
    store = make_store()
    store.job("slow", store.task("t", np.eye(2, dtype=bool)), status="timeout")
    with pytest.raises(BenchError, match="nothing to show"):
        build(store.store).figure("dots", tmp_path)
    with pytest.raises(UnknownName, match="no figure named 'dot'"):
        build(store.store).figure("dot", tmp_path)
