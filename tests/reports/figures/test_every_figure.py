"""Every figure is drawn from small stores; its texts lie within the canvas, apart, and named."""

from __future__ import annotations

import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from cdnbench.errors import BenchError
from cdnbench.record import Status
from cdnbench.reports import build
from cdnbench.reports.drawing.look import Look, styled
from cdnbench.reports.figures import FIGURES, NothingToShow

RESULTS = Path(__file__).parents[3] / "docs" / "results"
METHODS = ("cdn", "ut-igsp", "dci", "quantile-invariance", "target-shift", "random", "mine")
LAWS = {"graph": "er", "noise": "gaussian"}


def synthetic(make_store):
    """Two sizes, two mechanisms, hard interventions, three datasets each, one to three targets."""
    store = make_store("synthetic")
    rng = np.random.default_rng(0)
    for n in (10, 20):
        for mechanism in ("linear", "polynomial"):
            for i in range(3):
                targets = np.zeros((9, n), bool)
                for r, row in enumerate(targets):
                    row[rng.choice(n, 1 + r % 3, replace=False)] = True
                task = store.task(
                    f"{n}-{mechanism}-{i}",
                    targets,
                    ceiling=targets + 0.2 * rng.normal(size=targets.shape),
                    protocol="dcdi",
                    n_nodes=n,
                    n_edges=n,
                    mechanism=mechanism,
                    intervention="hard-uniform",
                )
                for k, method in enumerate(METHODS):
                    noise = rng.normal(size=targets.shape)
                    variants = {"dci": ("stability", "graph")}.get(method, ())
                    scores = targets + (0.3 + 0.15 * k) * noise
                    outputs = dict.fromkeys(variants, scores) if variants else {"": scores}
                    store.job(
                        method,
                        task,
                        outputs,
                        variants=variants,
                        wall_s=0.01 * (k + 1) ** 3 * n,
                        peak_rss_mb=50.0 + k * n,
                    )
    return store


def cells(make_store):
    store = make_store("perturbseq")
    rng = np.random.default_rng(1)
    for line in ("sim-a", "sim-b"):
        for i in range(6):
            targets = np.eye(1, 30, k=i, dtype=bool)
            task = store.task(
                f"{line}-{i}",
                targets,
                setting=("cell_line",),
                cell_line=line,
                split="seen",
                perturbation=f"G{i}",
                simulated=True,
            )
            for k, method in enumerate(("cdn-cells", "linear", "target-shift", "random")):
                scores = targets + (0.1 + 0.3 * k) * rng.normal(size=targets.shape)
                store.job(method, task, scores, wall_s=10.0 ** (k - 3) * (1 + i))
            for error, name in ((0.1, "error 0"), (0.5, ""), (1.0, "error 1")):
                scores = targets + error * rng.normal(size=targets.shape)
                knowledge = {"texts": f"digest {name}", "name": name}
                store.job("genept-style", task, scores, knowledge=knowledge)
    store.fit("linear")
    return store


def real(make_store):
    store = make_store("real")
    rng = np.random.default_rng(2)
    for source in ("petshop", "sachs"):
        for i in range(4):
            targets = store.one_target_each(1, 8)
            task = store.task(f"{source}-{i}", targets, setting=(), source=source, kind="perturbed")
            for k, method in enumerate(("cdn", "target-shift", "random")):
                store.job(method, task, targets + (0.2 + k) * rng.normal(size=targets.shape))
    return store


@pytest.fixture(scope="module")
def results(fake_store, tmp_path_factory):
    """Three stores, and the tables beside them."""
    tmp_path = tmp_path_factory.mktemp("beside")

    def make_store(suite):
        return fake_store(tmp_path / suite, suite)

    stores = [make(make_store).store for make in (synthetic, cells, real)]
    shutil.copytree(RESULTS / "screens", tmp_path / "screens")
    shutil.copy(RESULTS / "reliability.txt", tmp_path)
    rows = ["method,n,seconds,memory_mb,status"]
    rows += [
        f"{m},{n},{'' if n == 1000 and m == 'dci' else 0.01 * n * k},{50 + n},"
        f"{'timeout' if n == 1000 and m == 'dci' else 'ok'}"
        for k, m in enumerate(("cdn", "dci", "target-shift"), 1)
        for n in (10, 100, 1000)
    ]
    (tmp_path / "scaling.csv").write_text("\n".join(rows))
    log = [
        {
            "step": 10 * i,
            "minutes": 0.5 * i,
            "targets": 0.6 / i,
            **({"dev mAP": 0.8} if i == 5 else {}),
        }
        for i in range(1, 6)
    ]
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "mine.jsonl").write_text("\n".join(map(json.dumps, log)))
    return build(stores).results


def texts_of(figure):
    """Every text that is shown, with its box in pixels. Ticks beyond the limits of an axis keep
    texts that are never drawn."""
    from matplotlib.text import Text

    unseen = {
        id(label)
        for axes in figure.axes
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not min(limits) - 1e-9 <= tick.get_loc() <= max(limits) + 1e-9 or not axes.axison
        for label in (tick.label1, tick.label2)
    }
    renderer = figure.canvas.get_renderer()
    return [
        (text, text.get_window_extent(renderer))
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in unseen
    ]


def check(figure, name: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.canvas.draw()
    box, texts = figure.bbox, texts_of(figure)
    assert texts
    for text, extent in texts:
        inside = (
            extent.x0 >= box.x0 - 1
            and extent.x1 <= box.x1 + 1
            and extent.y0 >= box.y0 - 1
            and extent.y1 <= box.y1 + 1
        )
        assert inside, f"{name}: {text.get_text()!r} leaves the canvas"
        assert text.get_fontsize() >= 6.9, f"{name}: {text.get_text()!r} is too small"
    for (one, a), (other, b) in combinations(texts, 2):
        width = min(a.x1, b.x1) - max(a.x0, b.x0)
        height = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert width < 1.5 or height < 1.5, (
            f"{name}: {one.get_text()!r} covers {other.get_text()!r}"
        )
    for axes in figure.axes:
        if axes.axison and axes.get_label() != "<colorbar>":
            assert axes.get_xlabel() or axes.get_ylabel() or axes.get_title(loc="left"), name
    assert any(axes.get_xlabel() for axes in figure.axes), name


@pytest.mark.parametrize("columns", ["one", "two"])
@pytest.mark.parametrize("name", FIGURES.names)
def test_it_is_drawn_with_named_axes_and_texts_apart(results, name, columns):
    with styled(name):
        drawn = list(FIGURES.load(name).draw(results, Look(columns)))
    assert drawn
    endings = [ending for ending, _ in drawn]
    assert len(set(endings)) == len(endings)
    for ending, figure in drawn:
        check(figure, f"{name} {ending}")
        assert figure.get_figwidth() == {"one": 3.5, "two": 7.2}[columns]


def colours_of(figure, actor) -> set[str]:
    return {
        line.get_color()
        for line in figure.findobj(lambda a: hasattr(a, "get_marker"))
        if line.get_marker() == actor.mark.shape
    }


def test_a_method_has_its_colour_in_every_figure(results):
    from cdnbench.reports.drawing.cast import Cast

    cast = Cast(results, Look())
    for name in ("dots", "settings", "places", "cost", "ranks", "recall"):
        ending, figure = next(
            pair for pair in FIGURES.load(name).draw(results, Look()) if "synthetic" in pair[0]
        )
        for label in ("cdn", "quantile-invariance", "target-shift"):
            assert cast[label].mark.colour in colours_of(figure, cast[label]), (name, label)


def test_errors_in_knowledge_are_places_on_the_axis(results):
    """The run that names no error stands where the simulator's usual one is."""
    from cdnbench.datasets.cells.simulated.knowledge import ERROR
    from cdnbench.reports.figures import knowledge

    assert float(ERROR) == knowledge.USUAL
    ((_, figure),) = FIGURES.load("knowledge").draw(results, Look())
    (line,) = [one for one in figure.axes[0].lines if one.get_marker() not in ("None", None, "")]
    assert line.get_xdata().tolist() == [0.0, 0.5, 1.0]
    assert (np.diff(line.get_ydata()) < 0).all()


def test_simulated_screens_say_so(results):
    for name in ("figure5", "figure6", "figure7", "figure8", "figure9", "attrition"):
        _, figure = next(iter(FIGURES.load(name).draw(results, Look())))
        assert any("SIMULATED DATA" in text.get_text() for text in figure.texts), name


def test_every_text_of_an_svg_is_text(results, tmp_path, make_store):
    from cdnbench.reports.figures import write

    (path,) = [
        p for p in write(results, "cost", tmp_path / "out", formats=["svg"]) if "dcdi" in p.name
    ]
    svg = path.read_text()
    for text in ("cdn", "ut-igsp", "mine", "median time of a task", "quality against time"):
        assert text in svg


def test_all_writes_what_there_is_and_says_what_lacks(make_store, tmp_path):
    store = synthetic(make_store).store
    written, missing = build(store).figures(tmp_path / "out", formats=["svg"])
    names = {path.stem.split("-")[0] for path in written}
    assert {
        "dots",
        "settings",
        "published",
        "recall",
        "places",
        "cost",
        "ranks",
        "scaling",
    } <= names
    assert "real" not in names
    assert any("'real' has nothing to show: it takes results on real data" in m for m in missing)
    assert any("bench data describe" in m for m in missing)


def test_nothing_at_all_is_an_error(make_store, tmp_path):
    store = make_store()
    store.job("slow", store.task("t", np.eye(2, dtype=bool)), status=str(Status.timeout))
    with pytest.raises(NothingToShow, match="'dots' has nothing to show"):
        build(store.store).figures(tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "figure", "message"),
    [
        ("scaling.csv", "a,b\n1,2\n", "scaling", "has no column method or label"),
        ("screens/perturbations.csv", "line\nx\n", "figure6", "has no column perturbation"),
        ("reliability.txt", "hello", "reliability", "is not what benchmarks/reliability.py prints"),
        ("training/run.jsonl", '{"a": 1}', "training", "is no training log"),
        ("training/run.jsonl", "{", "training", "Cannot read the training log"),
    ],
)
def test_a_broken_table_is_named(make_store, tmp_path, file, text, figure, message):
    store = synthetic(make_store).store
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(BenchError, match=message) as raised:
        build(store).figure(figure, tmp_path / "out")
    assert path.name in str(raised.value)


def test_points_of_published_are_ours_against_the_printed(results):
    from cdnbench.reports.paper import ours
    from cdnbench.reports.published import table11

    with styled():
        _, figure = next(iter(FIGURES.load("published").draw(results, Look())))
    panel = next(axes for axes in figure.axes if axes.get_title(loc="left") == "dci-graph")
    points = {
        (round(line.get_xdata()[0], 6), round(line.get_ydata()[0], 6))
        for line in panel.lines
        if line.get_marker() in "o^s"
    }
    own = ours(results, by_targets=False)
    own = own[(own["label"] == "dci-graph") & (own["metric"] == "map")]
    printed = table11().query("method == 'dci' and metric == 'map' and intervention == 'hard'")
    keys = ["n_nodes", "n_edges", "mechanism"]
    both = own.merge(printed, on=keys, suffixes=("", "_printed"))
    assert len(both) == 4
    assert points == {
        (round(x, 6), round(y, 6)) for x, y in zip(both["mean_printed"], both["mean"], strict=True)
    }


def test_figure5_covers_no_row_and_has_clusters_at_the_side(results):
    """Separators of the colour of 0 across the map hid rows, since many clusters have one row."""
    import pandas as pd

    _, figure = next(iter(FIGURES.load("figure5").draw(results, Look())))
    axes = figure.axes[0]
    clusters = pd.read_csv(RESULTS / "screens" / "profiles-sim-a.csv.gz")["cluster"]
    assert not axes.lines
    assert all(one.get_x() + one.get_width() < 0 for one in axes.patches)
    assert len(axes.patches) == (clusters != clusters.shift()).sum()
    assert sum(one.get_height() for one in axes.patches) == len(clusters)


def test_figure7_has_every_perturbation_and_the_printed_medians(results):
    import pandas as pd

    _, figure = next(iter(FIGURES.load("figure7").draw(results, Look())))
    (axes,) = figure.axes
    table = pd.read_csv(RESULTS / "screens" / "perturbations.csv")
    shown = sorted(
        x
        for line in axes.lines
        if line.get_marker() == "o"
        for x in np.atleast_1d(line.get_xdata())
    )
    assert shown == sorted(table["differential"])
    (diamonds,) = (line for line in axes.lines if line.get_marker() == "D")
    assert list(diamonds.get_xdata()) == [81, 226, 399, 271, 162]


def test_figure6_has_printed_means_without_controls(results):
    """Table 1 counts cells with the controls: (492,096 - 75,328) / 1,767 for the first screen."""
    _, figure = next(iter(FIGURES.load("figure6").draw(results, Look())))
    (diamonds,) = (line for line in figure.axes[0].lines if line.get_marker() == "D")
    assert [round(x) for x in diamonds.get_xdata()] == [236, 191, 175, 119, 160]
