"""Methods that ask for a GPU, none of which computes on one."""

import glob
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from faulty_methods import Good, Learner, scores

from cdnbench.method import MethodInfo, Prediction


@dataclass(frozen=True)
class OnGPU(Good):
    """Notes in the file `trace` which GPUs it sees and how many are on the same one, and says how
    many there were at most. Has no memory left unless it is alone on its GPU, if `hungry`."""

    trace: str = ""
    hungry: bool = False
    seconds: float = 0.0
    device: str = "cpu"
    info: ClassVar[MethodInfo] = MethodInfo(
        name="on-gpu",
        summary="computes on a GPU that is not there",
        devices=("cpu", "cuda"),
        gpu_memory_mb=lambda sizes: 3_400.0,
    )

    def predict_targets(self, task, *, seed=0):
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        with open(self.trace, "a") as file:
            print(self.device, seen, os.getpid(), file=file)
        mine = Path(f"{self.trace}.{seen}.{os.getpid()}")
        mine.touch()
        time.sleep(self.seconds)
        others = len(glob.glob(f"{self.trace}.{seen}.*")) - 1
        mine.unlink()
        if self.hungry and others:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return scores(task)


@dataclass(frozen=True)
class OnCPU(OnGPU):
    info: ClassVar[MethodInfo] = MethodInfo(
        name="on-cpu", summary="notes the same on a CPU", devices=("cpu", "cuda"), gpu_helps=False
    )


@dataclass(frozen=True)
class GPUOnly(Good):
    info: ClassVar[MethodInfo] = MethodInfo(
        name="gpu-only", summary="cannot do without a GPU", devices=("cuda",)
    )


@dataclass(frozen=True)
class Starved(Good):
    """Never has enough GPU memory. `trace`: a file with a line a call."""

    trace: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(
        name="starved", summary="takes more than any GPU has", devices=("cuda",)
    )

    def predict_targets(self, task, *, seed=0):
        with open(self.trace, "a") as file:
            print(os.environ.get("CUDA_VISIBLE_DEVICES"), file=file)
        raise RuntimeError("CUDA error: out of memory")


@dataclass(frozen=True)
class LearnsOnGPU(Learner):
    """Has no memory left at its first fit."""

    device: str = "cuda"
    info: ClassVar[MethodInfo] = MethodInfo(
        name="learns-on-gpu",
        summary="is trained on a GPU",
        supervised="required",
        devices=("cpu", "cuda"),
    )

    def fit(self, tasks, *, seed=0):
        with open(self.trace, "a") as file:
            print(os.environ.get("CUDA_VISIBLE_DEVICES"), file=file)
        with open(self.trace) as file:
            if len(file.readlines()) == 1:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return {"mean": np.mean([t.targets[0] for t in tasks], axis=0)}


@dataclass(frozen=True)
class BatchedOnGPU(Good):
    """Solves tasks together; has memory for one only. `trace`: a file with a line a call."""

    trace: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(
        name="batched-on-gpu", summary="many at once on a GPU", devices=("cuda",), batch_size=3
    )

    def predict_targets_batch(self, tasks, *, seeds):
        with open(self.trace, "a") as file:
            print(len(tasks), file=file)
        for i, task in enumerate(tasks):
            if len(tasks) > 1:
                yield i, RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            else:
                yield i, Prediction({"": scores(task)})
