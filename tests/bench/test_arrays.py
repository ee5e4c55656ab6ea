"""Arrays that a store or a fit keeps are read whole, or their file is named."""

import numpy as np
import pytest

from cdnbench.arrays import read_npz, write_npz


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "kept.npz", a=np.arange(6.0).reshape(2, 3), b=np.array("text"))
    return tmp_path / "kept.npz"


def test_everything_comes_back(path):
    arrays = read_npz(path)
    assert list(arrays) == ["a", "b"]
    assert np.array_equal(arrays["a"], [[0, 1, 2], [3, 4, 5]]) and arrays["b"] == "text"


def test_what_is_no_file_is_an_error_of_the_system(path, tmp_path):
    link = tmp_path / "link.npz"
    link.symlink_to(path)
    for wrong in (tmp_path / "missing.npz", link, tmp_path):
        with pytest.raises(OSError, match=str(wrong)):
            read_npz(wrong)


def test_damage_and_objects_are_wrong_values(path, tmp_path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    objects = tmp_path / "objects.npz"
    np.savez(objects, a=np.array([{}], dtype=object))
    for wrong in (path, objects):
        with pytest.raises(ValueError, match=f"{wrong} is damaged"):
            read_npz(wrong)


def test_names_that_numpy_takes_for_options_are_written(tmp_path):
    arrays = {"file": np.ones(2), "allow_pickle": np.zeros(3), "a/b": np.array("text")}
    with open(tmp_path / "w.npz", "wb") as file:
        write_npz(file, arrays)
    found = read_npz(tmp_path / "w.npz")
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    with open(tmp_path / "w.npz", "wb") as file, pytest.raises(ValueError, match="Object arrays"):
        write_npz(file, {"a": np.array([{}], object)})
