"""PetShop: what ships, and how it is made from the archive."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pandas as pd
import pytest

from cdnbench.datasets.real import petshop

SERVICES = ("front", "cart", "pay", "idle", "rare")


@pytest.fixture
def archive(tmp_path):
    """Both traffics with 40 normal bins and two incidents. `idle` never varies, `rare` is measured
    in a quarter of the bins, and `extra` in the incidents alone."""
    rng = np.random.default_rng(0)
    with tarfile.open(tmp_path / "petshop.tar.gz", "w:gz") as tar:

        def add(name: str, text: str) -> None:
            info = tarfile.TarInfo(f"dataset/{name}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))

        for traffic in petshop.TRAFFIC:
            add(f"{traffic}_traffic/noissue/metrics.csv", _metrics(rng, 40, SERVICES).to_csv())
            for part, metric in (("train", "latency"), ("test", "availability")):
                table = _metrics(rng, 5, (*SERVICES, "extra"))
                table[("pay", metric, "Average")] += 50
                folder = f"{traffic}_traffic/{part}/issue_0"
                add(f"{folder}/metrics.csv", table.to_csv())
                told = {
                    "target": {"node": "front", "metric": metric, "agg": "Average"},
                    "root_cause": {"node": "pay", "metric": None},
                }
                add(f"{folder}/target.json", json.dumps(told))
            calls = pd.DataFrame(0.0, index=SERVICES, columns=SERVICES)
            calls.loc["front", "pay"] = 1.0
            add(f"{traffic}_traffic/graph.csv", calls.to_csv())
    return tmp_path / "petshop.tar.gz"


def _metrics(rng, bins: int, services) -> pd.DataFrame:
    columns = {}
    for metric in petshop.METRICS:
        for statistic in ("Average", "p99"):
            for service in services:
                values = rng.normal(10, 1, size=bins)
                if service == "idle":
                    values[:] = 100.0
                if service == "rare":
                    values[np.arange(bins) % 4 > 0] = np.nan
                if service == "cart":
                    values[1] = np.nan
                columns[service, metric, statistic] = values
    table = pd.DataFrame(columns, index=1_681_849_920.0 + 300 * np.arange(bins))
    return table.rename_axis("unix_timestamp")


def test_from_archive_to_cases(archive, tmp_path):
    np.savez(tmp_path / "small.npz", **petshop.compact(archive))
    cases = petshop.read(tmp_path / "small.npz")
    incidents = [case for case in cases if case.target]
    assert len(incidents) == 4 and all(case.target == "pay" for case in incidents)
    for case in incidents:
        assert case.variables == ("cart", "front", "pay")  # idle, rare, extra say nothing
        assert case.observational.shape == (40, 3) and case.perturbed.shape == (5, 3)
        # the gap of `cart` holds the mean of the other bins of its side
        for side in (case.observational, case.perturbed):
            assert side[1, 0] == pytest.approx(np.delete(side[:, 0], 1).mean(), rel=1e-5)
        shift = case.perturbed.mean(axis=0) - case.observational.mean(axis=0)
        assert case.variables[shift.argmax()] == "pay"


def test_what_ships():
    cases = petshop.read()
    incidents = [case for case in cases if case.target]
    normal = [case for case in cases if not case.target]
    assert len(incidents) == 52 and len(normal) == 20
    assert petshop.SHIPPED.stat().st_size < 1_500_000
    assert petshop.SHIPPED.with_suffix(".md").read_text().count("creativecommons.org") == 1
    causes = {case.target.split("_")[0] for case in incidents}
    services = "PetSearch payforadoption petlistadoptions petInfo lambdastatusupdater"
    assert causes == set(services.split())
    for case in incidents:
        assert case.observational.shape[0] == 589 and len(case.perturbed) == 5
        assert np.ptp(np.concatenate([case.observational, case.perturbed]), axis=0).min() > 0
    for case in normal:
        assert len(case.observational) == 584 and len(case.perturbed) == 5


def test_effect_size_on_incidents():
    """The share found first by the shift in standard deviations of the normal run: .31; it is .19
    where services that are constant in the normal run are left out, most targets of incidents of
    availability among them."""
    first = {True: 0.0, False: 0.0}
    incidents = [case for case in petshop.read() if case.target]
    for case in incidents:
        before, after = case.observational.astype(float), case.perturbed.astype(float)
        shift, scale = np.abs(after.mean(0) - before.mean(0)), before.std(axis=0)
        for constant in first:
            size = np.where(scale > 1e-9, shift / np.maximum(scale, 1e-9), np.inf * (shift > 1e-9))
            size = np.where(np.isnan(size), 0.0, size)
            if not constant:
                size = np.where(scale > 1e-9, size, -1.0)
            top = size == size.max()
            first[constant] += top[case.variables.index(case.target)] / top.sum() / len(incidents)
    assert first[True] == pytest.approx(0.31, abs=0.02)
    assert first[False] == pytest.approx(0.19, abs=0.02)


def test_call_graph():
    services, calls = petshop.call_graph("low")
    assert calls.shape == (len(services), len(services)) and calls.dtype == bool
    front = calls[services.index("PetSite")]
    assert front[services.index("payforadoption_AWS::ECS::Container")]
    assert not calls[:, services.index("PetSite")].any()


def test_the_calls_are_written_for_traversal(tmp_path):
    """Who is called acts on who calls."""
    petshop.write_call_graph(tmp_path / "calls.tsv")
    head, *rows = (tmp_path / "calls.tsv").read_text().splitlines()
    assert head == "source\ttarget" and rows == sorted(set(rows))
    assert "payforadoption_AWS::ECS::Container\tPetSite" in rows
    assert not any(row.startswith("PetSite\t") for row in rows)


@pytest.mark.data
def test_what_ships_is_the_archive_s(real_folder):
    made = petshop.compact(real_folder / petshop.ARCHIVE.path)
    with np.load(petshop.SHIPPED) as shipped:
        assert set(shipped.files) == set(made)
        for name, array in made.items():
            np.testing.assert_array_equal(shipped[name], array, err_msg=name)
