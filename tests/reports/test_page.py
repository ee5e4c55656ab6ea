"""The page of `bench report --html`: what is packed into it, and what it does in a browser."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest

from cdnbench import reports
from cdnbench.reports import about, statistics
from cdnbench.reports.show import details, explorer
from cdnbench.reports.show.packed import packed, small

HOSTILE = '</script><script>document.title="hit"</script><img src=x onerror=alert(1)>"\'&{{7*7}}'


def unpacked(text: str) -> tuple[dict, dict[str, np.ndarray]]:
    """What `templates/packed.js` makes of it."""
    content = zlib.decompress(base64.b64decode(text))
    length = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + length])
    arrays = {}
    for name, (kind, at, shape) in header["arrays"].items():
        flat = np.frombuffer(content, f"<{kind}", int(np.prod(shape)), 4 + length + at)
        arrays[name] = flat.reshape(shape)
    return header, arrays


@pytest.fixture
def folder(make_store, tmp_path):
    """Two suites: eight datasets of two settings with four methods, one of which fails on some; and
    one of real data. One method and one task have hostile names."""
    rng = np.random.default_rng(0)
    store = make_store()
    targets = store.one_target_each(6, 10)
    for i in range(4):
        for mechanism in ("linear", "sigmoid"):
            about = {
                "protocol": "clean",
                "n_nodes": 10,
                "n_edges": 10,
                "intervention": "soft-scale",
            }
            name = f"d{i}-{mechanism}" + (HOSTILE if i == 0 else "")
            task = store.task(name, targets, mechanism=mechanism, **about)
            linear = 4.0 if mechanism == "linear" else 0.0
            store.job("good", task, rng.normal(size=targets.shape) + 6 * targets)
            store.job("half", task, rng.normal(size=targets.shape) + linear * targets)
            store.job("random", task, rng.normal(size=targets.shape), parameters={"x": HOSTILE})
            if i:
                store.job("partial", task, targets.astype(float))
            else:
                store.job("partial", task, status="timeout", reason=HOSTILE)
    real = make_store("sachs")
    task = real.task("primary", targets[:2], subset="primary", simulated=False)
    real.job("good", task, real.at_place(targets[:2], 3))
    real.job("random", task, np.zeros((2, 10)))
    return tmp_path


@pytest.fixture
def report(folder):
    return reports.build(folder)


def test_packed_arrays_come_back():
    arrays = {"a": np.arange(5, dtype=np.uint8), "b": np.array([[1.5, np.nan]], np.float32)}
    header, found = unpacked(packed({"name": "é</script>"}, arrays))
    assert header["name"] == "é</script>"
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    with pytest.raises(ValueError, match="c is float64"):
        packed({}, {"c": np.zeros(2)})
    assert [small(np.array([n])).dtype for n in (255, 256, 65536)] == ["u1", "u2", "u4"]


def test_the_board_holds_the_values_of_the_report(report):
    results, standing = report.results, report.table().frame
    grids = explorer.grids(results, standing)
    header, arrays = unpacked(explorer.board(results, standing, grids))
    number, block = next(
        (i, b) for i, b in enumerate(header["blocks"]) if b["key"][0] == "synthetic"
    )
    assert block["settingNames"][-2:] == ["mechanism", "intervention"]
    means = arrays[f"{number}.mean"][header["ranking"]]
    whole = results.regimes[results.regimes["suite"] == "synthetic"]
    for i, label in enumerate(block["labels"]):
        own = whole[whole["label"] == label].groupby("task", observed=True)
        expected = own["average_precision_tie"].mean().reindex(block["tasks"]).to_numpy()
        np.testing.assert_allclose(means[i], expected, rtol=1e-6)
    status = arrays[f"{number}.status"][block["labels"].index("partial")]
    assert sorted(header["statuses"][code] for code in status) == ["ok"] * 6 + ["timeout"] * 2


def test_the_details_hold_targets_places_and_what_was_ranked_first(report):
    grids = explorer.grids(report.results, report.table().frame)
    header, arrays = unpacked(details.details(report.results, grids))
    number = next(i for i, grid in enumerate(grids) if grid.key[0] == "sachs")
    names = header["blocks"][number]["variables"]
    first = grids[number].labels.index("good")
    assert first == 0 and header["top"] == 5 and header["scored"]
    assert [names[i] for i in arrays[f"{number}.whose"]] == ["x0", "x1"]
    np.testing.assert_array_equal(arrays[f"{number}.places"][:2] / 2, [3, 3])
    top = arrays[f"{number}.top"]
    assert [[names[i] for i in top[:3, row]] for row in (0, 1)] == [
        ["x1", "x2", "x0"],
        ["x0", "x2", "x1"],
    ]
    half = arrays[f"{number}.high"].astype(np.uint32) << 8 | arrays[f"{number}.low"]
    scores = (half.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(scores[:3, 0], [10, 9, 8], rtol=0.01)
    np.testing.assert_array_equal(arrays[f"{number}.places"][2:] / 2, [5.5, 5.5])  # all tied


def test_details_that_do_not_fit_are_thinned_and_then_left_out(report, monkeypatch):
    grids = explorer.grids(report.results, report.table().frame)
    whole = details.details(report.results, grids)
    monkeypatch.setattr(details, "LARGEST", len(whole) - 1)
    header, arrays = unpacked(details.details(report.results, grids))
    assert (header["top"], header["scored"]) == (3, True)
    monkeypatch.setattr(details, "LARGEST", 100)
    assert details.details(report.results, grids) == ""


def test_methods_and_suites_are_described_without_being_imported():
    known = about.method("ut-igsp")
    assert known is not None and "Squires" in known.declared["citation"]
    assert known.deviations.startswith("Deviations from the reference\n    - ")
    assert "Readings" not in known.deviations
    suite = about.suite("perturbseq")
    assert suite is not None and "single cells" in suite.declared["summary"]
    assert about.method("no-such-method") is None
    assert about.deviations("Nothing here.") == ""


def test_the_page_names_failures_and_shows_their_logs(folder, make_store):
    store = make_store()
    task = store.task("broken", np.eye(3, dtype=bool), mechanism="linear")
    store.job("half", task, status="error", reason="it fell", log="logs/x.log")
    (store.store.folder / "logs").mkdir(exist_ok=True)
    (store.store.folder / "logs" / "x.log").write_text("Traceback <b>\x1b[31m here")
    page = reports.build(folder).to_html()
    assert "1 jobs error (first: broken): it fell" in page
    assert r"Traceback &lt;b&gt;\x1b[31m here" in page


def test_a_page_shows_no_file_that_a_log_was_replaced_with_a_link_to(folder, make_store, tmp_path):
    store = make_store()
    task = store.task("broken", np.eye(3, dtype=bool), mechanism="linear")
    store.job("half", task, status="error", reason="it fell", log="logs/x.log")
    (store.store.folder / "logs").mkdir(exist_ok=True)
    (tmp_path / "elsewhere").write_text("a file of somebody else", encoding="utf-8")
    (store.store.folder / "logs" / "x.log").symlink_to(tmp_path / "elsewhere")
    page = reports.build(folder).to_html()
    assert "it fell" in page and "somebody else" not in page


# In a browser

METHOD = (
    "((name) => [...document.querySelectorAll('#board tbody th button')]"
    ".find((each) => each.textContent === name))"
)


@pytest.fixture(scope="module")
def browser():
    from browser import Browser, executable

    if executable() is None:
        pytest.skip("no chromium")
    found = Browser()
    yield found
    found.close()


@pytest.fixture
def opened(browser, report, tmp_path):
    from browser import WIDE

    path = tmp_path / "page.html"
    path.write_text(report.to_html(), encoding="utf-8")
    browser.resize(*WIDE)
    browser.open(path)
    choose(browser, "suite", "synthetic")
    yield browser
    assert browser.problems == []


def choose(browser, id, value):
    browser.run(
        f"{{ const e = document.getElementById('{id}'); e.value = {json.dumps(value)};"
        " e.dispatchEvent(new Event('change')); }"
    )


def tick(browser, facet, value):
    browser.run(
        "[...document.querySelectorAll('#filters input')].find((i) =>"
        f" i.dataset.facet === '{facet}' && i.value === '{value}').click()"
    )


def column(browser, name):
    return browser.run(
        f"[...document.querySelectorAll('#board tbody .c-{name}')].map((e) => e.textContent)"
    )


def text(browser, id):
    return browser.run(f"document.getElementById('{id}').textContent")


def test_it_sorts_filters_and_says_who_is_best(opened):
    assert text(opened, "verdict").startswith("Best: good, mAP 1.000")
    assert column(opened, "name")[:2] == ["good", "partial"]
    assert column(opened, "place")[:2] == ["1", "–"]  # it failed on two datasets
    opened.run("document.querySelector('[data-sort=name]').click()")
    assert column(opened, "name") == sorted(column(opened, "name"))
    opened.run("document.querySelector('[data-sort=name]').click()")
    assert column(opened, "name") == sorted(column(opened, "name"), reverse=True)
    before = column(opened, "mean")
    tick(opened, "mechanism", "linear")
    assert column(opened, "mean") != before and column(opened, "finished").count("4/4") == 3
    assert "4 of 8 tasks" in text(opened, "board")
    tick(opened, "mechanism", "sigmoid")
    assert text(opened, "verdict").startswith("No method finished")
    tick(opened, "mechanism", "linear")
    choose(
        opened,
        "metric",
        opened.run(
            "[...document.querySelectorAll('#metric option')].find((o) => o.text === 'R@1').value"
        ),
    )
    assert "R@1" in text(opened, "verdict")


def test_the_overview_leads_to_each_set_of_results(opened):
    opened.wait("document.documentElement.dataset.overview === 'yes'")
    rows = opened.run(
        "[...document.querySelectorAll('.overview tbody tr')].map((e) => e.textContent)"
    )
    assert "real data" in rows[0] and "synthetic" in rows[1] and "good" in rows[1]
    assert opened.run("document.querySelectorAll('.overview .lead')[1].textContent").startswith(
        "+0."
    )
    opened.run("document.querySelector('.overview tbody tr button').click()")
    assert "sachs" in text(opened, "factors")


def test_it_compares_any_two_methods_as_the_report_does(opened, report):
    choose(opened, "one", "half")
    choose(opened, "other", "random")
    frame = report.table("comparisons").frame
    row = frame[(frame["suite"] == "synthetic") & (frame["label"] == "half")].iloc[0]
    choose(opened, "other", row["against"])
    shown = text(opened, "pair")
    assert f"{row['difference']:+.3f}".replace("-", "−") in shown
    assert f"on the {row['n_datasets']} datasets" in shown and "after Holm" in shown


def test_its_statistics_are_those_of_the_report(opened):
    rng = np.random.default_rng(1)
    for n, strata in ((12, 3), (40, 4), (6, 1)):
        values, settings = rng.normal(0.1, 1, n), np.arange(n) % strata
        given = json.dumps([values.tolist(), settings.tolist()])
        low, high = opened.run(f"interval(...{given}, null)")
        if strata > 1:
            expected = statistics.bootstrap_interval(values, settings.astype(str))
        else:
            half = statistics.t_halfwidth(values.std(ddof=1), n)
            expected = values.mean() - half, values.mean() + half
        np.testing.assert_allclose([low, high], expected, atol=0.03 if strata > 1 else 1e-6)
        p = opened.run(f"signFlipTest({json.dumps(values.tolist())})")
        assert p == pytest.approx(statistics.sign_flip_test(values), abs=0.02 if n > 13 else 1e-12)
        genes = (np.arange(n) // 2).astype(str)
        found = opened.run(
            f"clusterInterval({json.dumps(values.tolist())}, {json.dumps(genes.tolist())})"
        )
        np.testing.assert_allclose(
            found, statistics.cluster_bootstrap_interval(values, genes), atol=0.04
        )
    p = [0.01, 0.04, float("nan"), 0.03, 0.5]
    shown = opened.run("holm([0.01, 0.04, NaN, 0.03, 0.5]).map((v) => Number.isNaN(v) ? null : v)")
    expected = [None if np.isnan(v) else pytest.approx(v) for v in statistics.holm(np.array(p))]
    assert shown == expected


def test_a_cell_opens_down_to_the_regimes_by_keyboard(opened):
    opened.run(f"{METHOD}('good').focus()")
    opened.press("Enter")
    assert opened.run("document.activeElement.textContent") == "good: 8 tasks"
    opened.run(
        "[...document.querySelectorAll('#drill td button')]"
        ".find((b) => b.textContent === 'd1-linear').focus()"
    )
    opened.press("Enter")
    opened.wait("document.querySelector('#drill ol.top')")
    cells = opened.run(
        "[...document.querySelectorAll('#drill tbody tr:first-child td')].map((e) => e.textContent)"
    )
    assert cells[:4] == ["0", "x0", "1", "1.00"] and "x0" in cells[4] and "✓ target" in cells[4]
    assert opened.run("document.querySelectorAll('#drill tbody tr').length") == 6
    opened.run("[...document.querySelectorAll('#drill nav button')].pop().click()")
    assert opened.run("document.getElementById('drill').hidden")


def test_a_failed_task_says_how_it_ended(opened):
    opened.run(f"{METHOD}('partial').click()")
    opened.run(
        "[...document.querySelectorAll('#drill tr')]"
        ".find((r) => r.textContent.includes('timeout')).querySelector('button').click()"
    )
    opened.wait("document.getElementById('drill').textContent.includes('ended as “timeout”')")


def test_the_address_keeps_the_view(opened, tmp_path):
    tick(opened, "mechanism", "linear")
    shown, address = text(opened, "verdict"), opened.run("location.hash")
    opened.open(tmp_path / "page.html", address)
    assert text(opened, "verdict") == shown and "4 datasets" in shown


def test_hostile_names_are_text(opened):
    assert opened.run("document.title") == "cdnbench report"
    opened.run(f"{METHOD}('good').click()")
    assert HOSTILE in text(opened, "drill")
    assert opened.run("document.images.length") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone(opened, dark):
    from browser import PHONE

    opened.resize(*PHONE, dark=dark)
    opened.run("for (const d of document.querySelectorAll('details')) d.open = true")
    opened.run("document.querySelector('#board tbody th button').click()")
    assert opened.run("document.documentElement.scrollWidth") <= PHONE[0]
    colours = opened.run("getComputedStyle(document.body).backgroundColor")
    assert colours == ("rgb(20, 23, 26)" if dark else "rgb(251, 251, 249)")


def test_everything_has_a_name_and_every_link_an_end(opened):
    nameless = (
        "[...document.querySelectorAll('button, select, input')]"
        ".filter((e) => !e.textContent.trim()"
        " && !e.closest('label')?.textContent.trim() && !e.getAttribute('aria-label')).length"
    )
    assert opened.run(nameless) == 0
    ends = (
        "[...document.querySelectorAll('a')]"
        ".filter((a) => !document.querySelector(a.getAttribute('href'))).length"
    )
    assert opened.run(ends) == 0


def test_a_store_in_which_everything_failed(make_store):
    """On a suite without a ceiling no metric has a value then."""
    store = make_store("petshop")
    targets = store.one_target_each(2, 4)
    store.job("broken", store.task("incident", targets), status="error", reason="it broke")
    page = reports.build(store.store.folder).to_html()
    assert "broken" in page and "it broke" in page
