"""Inputs that once went wrong in silence, or ended the process, each with what is right."""

from __future__ import annotations

import gzip
import json
import pickle
import random
import struct
import zipfile

import h5py
import numpy as np
import pytest
import torch
from samples_of_files import READERS

from cdnbench.datasets.cells.screens.market import read_market
from cdnbench.errors import BenchError, InvalidData, InvalidParameter, InvalidTask
from cdnbench.knowledge import read_annotations, read_embeddings, read_texts
from cdnbench.methods.cdn.public.checkpoint import read_checkpoint
from cdnbench.samples import read_samples


class Attack:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class State:
    """An array whose state is set by the file."""

    def __reduce__(self):
        import numpy._core.multiarray as core

        state = (1, (10**9,), np.dtype("f8"), False, b"12345678")
        return core._reconstruct, (np.ndarray, (0,), b"b"), state


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Attack(eval, "1"), "builtin(s|__).eval"),
        (Attack(np.load, "x"), "numpy"),
        ({"G1": State()}, "an array of the shape"),
        ({"G1": np.array([{}], dtype=object)}, "no real numbers"),
        ({"G1": np.zeros(2, dtype=[("a", "f4")])}, "no real numbers|plain"),
        ({"G1": [1.0, "x"]}, "'G1' is not plain numbers"),
        ({"G1": [1.0], "G2": [1.0, 2.0]}, "'G2' has the shape"),
        ([1.0], "holds a list"),
        ({"G1": {1.0, 2.0}}, "'G1' is not plain numbers|builtin__.set"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_of_anything_but_numbers_is_refused_by_name(tmp_path, value, words, protocol):
    (tmp_path / "e.pickle").write_bytes(pickle.dumps(value, protocol=protocol))
    with pytest.raises(InvalidData, match=words):
        read_embeddings(tmp_path / "e.pickle")


def stored(path, shape, strides, offset=0):
    """A checkpoint whose tensor has this geometry, of a storage of 12 values."""
    base = torch.arange(12, dtype=torch.float32)
    torch.save({"w": base.as_strided((2, 3), (3, 1))}, path)
    with zipfile.ZipFile(path) as archive:
        members = {m.filename: archive.read(m) for m in archive.infolist()}
    name = next(n for n in members if n.endswith("data.pkl"))

    def number(n):
        return b"J" + struct.pack("<i", n) if n < 2**31 else b"\x8a\x08" + struct.pack("<q", n)

    old = b"K\x00K\x02K\x03\x86q\x08K\x03K\x01\x86"
    assert old in members[name]
    new = number(offset) + b"(" + b"".join(map(number, shape)) + b"tq\x08"
    new += b"(" + b"".join(map(number, strides)) + b"t"
    members[name] = members[name].replace(old, new)
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((2**40,), (0,), 0),
        ((10**6, 10**6), (0, 0), 0),
        ((2, 3), (1, 1), 0),
        ((2**33, 2**33), (2**33, 1), 0),
        ((2, 3), (3, 1), 10),
        ((2, 3), (3,), 0),
    ],
)
def test_a_tensor_that_repeats_values_or_reaches_too_far(tmp_path, shape, strides, offset):
    path = stored(tmp_path / "c.ckpt", shape, strides, offset)
    with pytest.raises(InvalidParameter, match="w (of shape|has the)|far more than the file"):
        read_checkpoint(path)


def test_a_tensor_may_be_stored_transposed(tmp_path):
    path = stored(tmp_path / "c.ckpt", (3, 2), (1, 3))
    assert torch.equal(read_checkpoint(path).state["w"], torch.tensor([[0, 3], [1, 4], [2, 5.0]]))


@pytest.mark.parametrize("name", ["table as .h5ad", "screen as .h5ad", "screen as 10x .h5"])
@pytest.mark.parametrize("kind", ["soft link", "external link", "other files", "says that it has"])
def test_hdf5_is_read_from_its_own_place_only(tmp_path, name, kind):
    path = READERS[name].write(tmp_path, random.Random(3))
    place = "matrix/data" if "10x" in name else "var/_index"
    with h5py.File(path, "a") as file:
        del file[place]
        if kind == "soft link":
            file[place] = h5py.SoftLink("/obs/_index")
        elif kind == "external link":
            file[place] = h5py.ExternalLink("other.h5", "x")
        elif kind == "other files":
            file.create_dataset(place, (4,), "f4", external=[("/etc/hostname", 0, 16)])
        else:
            file.create_dataset(place, (2**40,), "f4", chunks=True)
    with pytest.raises(BenchError, match=f"{path.name}: .*{kind}"):
        READERS[name].read(path)


@pytest.mark.parametrize("name", ["a.gaf", "a.tsv", "a.json", "go.obo"])
def test_a_web_page_is_no_knowledge(tmp_path, name):
    (tmp_path / name).write_text("<!DOCTYPE html>\n<html><body>Log in</body></html>")
    if name == "go.obo":
        (tmp_path / "a.gaf").write_text("\t".join(["U", "P", "A", "is", "GO:1"]) + "\n")
    with pytest.raises(InvalidData, match="web page"):
        read_annotations(tmp_path if name == "go.obo" else tmp_path / name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"A": ["t"], "A": ["u"]}', "names 'A' twice"),
        ('{"A": [1, 2]}', "the value of 'A'"),
        ('{"A": {"x": "t"}}', "the value of 'A'"),
        ('{"A": 3}', "the value of 'A'"),
        ('[["A", "t"]]', "holds a list"),
        ("[" * 100_000, "cannot be read"),
    ],
)
@pytest.mark.parametrize("read", [read_annotations, read_texts])
def test_json_of_another_shape(tmp_path, content, words, read):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InvalidData, match=words):
        read(tmp_path / "a.json")


def test_a_line_of_a_gaf_that_is_cut_is_named(tmp_path):
    line = "\t".join(["U", "P", "A", "is", "GO:1", "x"])
    (tmp_path / "a.gaf").write_text(f"!gaf-version: 2.2\n{line}\n{line[:9]}")
    with pytest.raises(InvalidData, match="line 3 is no annotation"):
        read_annotations(tmp_path / "a.gaf")


def test_an_array_that_promises_more_than_it_holds(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.ones((2, 2)))
    with zipfile.ZipFile(tmp_path / "t.npz") as archive:
        content = archive.read("x.npy")
    lie = content.replace(b"(2, 2), }" + b" " * 20, b"(99999999999, 2), }" + b" " * 10)
    assert lie != content
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("x.npy", lie)
    with pytest.raises(InvalidTask, match="'x' has the shape"):
        read_samples(tmp_path / "t.npz")


@pytest.mark.parametrize("first", [True, False])
def test_whole_numbers_that_float64_would_round_are_refused(tmp_path, first):
    rows = [("9007199254740993", "1.5"), ("9007199254740995", "2.5")]
    names = ("a", "b") if first else ("b", "a")
    lines = [",".join(names), *(",".join(row if first else row[::-1]) for row in rows)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InvalidTask, match="'a' holds 9007199254740993 in row 1"):
        read_samples(tmp_path / "t.csv")


def test_what_is_left_out_of_a_file_is_told(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.eye(3), y=np.arange(3))
    assert any(
        "left out" in note and "'y'" in note for note in read_samples(tmp_path / "t.npz").notes
    )


def test_a_card_may_not_ask_for_a_network_larger_than_its_tensors(tmp_path):
    path = READERS["weights"].write(tmp_path, random.Random(0))
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, "config": {"sizes": [3, 10**9, 2]}}))
    with pytest.raises(InvalidParameter, match="larger than its tensors"):
        READERS["weights"].read(path)


@pytest.mark.parametrize("packed", [False, True])
def test_zeros_in_a_market_file_are_refused_before_native_code_sees_them(tmp_path, packed):
    """A copy that was broken off is filled with zeros; such a file ended the process."""
    folder = READERS["screen as .mtx"].write(tmp_path, random.Random(0))
    for path in list(folder.glob("matrix.mtx*")):
        path.unlink()
    n_features = len(_lines(folder, "features.tsv"))
    n_cells = len(_lines(folder, "barcodes.tsv"))
    head = f"%%MatrixMarket matrix coordinate integer general\n{n_features} {n_cells} 2\n"
    content = head.encode() + b"1 1 2\x00\x00\x00\x00 7 1\n1 2 2\n"
    if packed:
        (folder / "matrix.mtx.gz").write_bytes(gzip.compress(content))
    else:
        (folder / "matrix.mtx").write_bytes(content)
    with pytest.raises(InvalidData, match="bytes that are no text"):
        read_market(folder, by_id=False)


def _lines(folder, name):
    path = next(folder.glob(f"{name}*"))
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    return [line for line in text.replace("\r", "\n").split("\n") if line.strip()]
