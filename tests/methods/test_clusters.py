"""Which training perturbations are held out."""

import numpy as np
import pytest

from cdnbench.methods.clusters import cluster, held_out
from cdnbench.task import Task
from cdnbench.truth import LabelledTask


def labelled(**facts) -> LabelledTask:
    x = np.zeros((3, 2))
    task = Task(
        name="t", variables="ab", observational=x, regimes=[x], metadata={"cell_line": "K562"}
    )
    return LabelledTask(task=task, targets=[[True, False]], facts=facts)


def test_a_task_without_a_cluster_is_one_by_itself():
    assert cluster(labelled(cluster=3), 7) == "K562/3"
    assert cluster(labelled(), 3) == "K562/task 3" != cluster(labelled(cluster=3), 3)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_clusters_are_held_out_whole(number):
    names = np.array(["a", "b", "a", "c", "b"])
    held = held_out(names, lambda n: number, np.random.default_rng(0))
    assert len(set(names[held])) == number and not set(names[held]) & set(names[~held])


def test_of_a_single_cluster_half_is_held_out():
    held = held_out(["a"] * 5, lambda n: 1, np.random.default_rng(0))
    assert held.tolist() == [False, False, True, True, True]
