"""Runs on GPUs that are not there: which ones jobs see, and what becomes of those that find no
memory."""

from collections import Counter

import pytest

from cdnbench.runners import gpu_memory
from cdnbench.runners.devices import Gpu, Slots
from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.run import Mode, Run
from cdnbench.store import Store


def sweep(tmp_path, methods, slots, *, jobs=2, **mode):
    """A run on the tiny suite, with GPUs only for the methods that they help."""
    limits = Limits(timeout_s=60)
    plan = make_plan("tiny", {}, methods, limits=limits, device="cuda", where_it_helps=True)
    run = Run(plan, Store(tmp_path / "results"), Mode(**mode), jobs, slots=slots)
    run.execute()
    return run


def two_gpus(jobs_per_gpu=2):
    """Each has room for two jobs of `on-gpu`, which take 4000 MB each, and not for three."""
    return Slots([Gpu("5", 8_000.0), Gpu("GPU-7", 8_000.0)], jobs_per_gpu)


def lines(path):
    return [line.split() for line in path.read_text().splitlines()]


def test_each_job_sees_its_own_gpu_and_jobs_of_the_cpu_see_none(faulty, tmp_path):
    trace = tmp_path / "trace"
    methods = f"on-gpu:trace={trace},seconds=0.5,on-cpu:trace={trace}"
    run = sweep(tmp_path, methods, two_gpus(jobs_per_gpu=1))
    assert {record.status for record in run.records} == {"ok"}
    seen = Counter((device, gpu) for device, gpu, _ in pad(lines(trace)))
    assert seen["cpu", ""] == 4
    assert seen["cuda", "5"] + seen["cuda", "GPU-7"] == 4 and len(seen) == 3
    assert {r.device for r in run.records if r.method == "on-gpu"} == {"cuda"}
    assert {r.device for r in run.records if r.method == "on-cpu"} == {"cpu"}


def pad(found):
    """Lines of device, GPU and process; a job that sees no GPU has left out the word."""
    return [line if len(line) == 3 else [line[0], "", line[1]] for line in found]


def test_without_gpus_nothing_is_hidden(faulty, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    trace = tmp_path / "trace"
    sweep(tmp_path, f"on-cpu:trace={trace}", Slots())
    assert {gpu for _, gpu, _ in lines(trace)} == {"3"}


def test_a_job_that_found_no_memory_beside_others_runs_again_alone(faulty, tmp_path):
    trace = tmp_path / "trace"
    one = Slots([Gpu("0", 8_000.0)], 2)
    run = sweep(tmp_path, f"on-gpu:trace={trace},seconds=1,hungry=true", one)
    assert {(r.status, r.reason) for r in run.records} == {("ok", "")}
    assert len(lines(trace)) > 4, "no two jobs were on the GPU at once"


def test_a_job_that_never_finds_enough_memory_is_tried_twice_and_says_so(faulty, tmp_path):
    trace = tmp_path / "trace"
    run = sweep(tmp_path, f"starved:trace={trace}", two_gpus())
    assert {(r.status, r.reason) for r in run.records} == {
        ("oom", "out of GPU memory: RuntimeError: CUDA error: out of memory")
    }
    assert len(lines(trace)) == 2 * 4 and {gpu for (gpu,) in lines(trace)} <= {"5", "GPU-7"}
    assert all((run.store.folder / record.log).is_file() for record in run.records)


def test_tasks_of_a_batch_that_found_no_memory_run_one_by_one(faulty, tmp_path):
    trace = tmp_path / "trace"
    run = sweep(tmp_path, f"batched-on-gpu:trace={trace}", two_gpus())
    assert {(r.status, r.batch_size) for r in run.records} == {("ok", 1)}
    assert Counter(int(n) for (n,) in lines(trace)) == {3: 1, 1: 4}


def test_a_fit_that_found_no_memory_is_made_again_alone(faulty, tmp_path):
    trace = tmp_path / "trace"
    run = sweep(tmp_path, f"learns-on-gpu:trace={trace}", two_gpus())
    assert {record.status for record in run.records} == {"ok"}
    assert len(lines(trace)) == 3  # two fits, one of them twice
    assert {gpu for (gpu,) in lines(trace)} <= {"5", "GPU-7"}


def test_timing_gives_each_job_a_gpu_of_its_own(faulty, tmp_path):
    trace = tmp_path / "trace"
    run = sweep(tmp_path, f"on-gpu:trace={trace},hungry=true", two_gpus(), timing=True)
    assert all(r.status == "ok" and r.wall_s_single is not None for r in run.records)
    processes = {process: gpu for _, gpu, process in lines(trace)}  # calls are repeated
    assert len(processes) == 4 and set(processes.values()) <= {"5", "GPU-7"}


def test_a_method_that_needs_a_gpu_is_skipped_where_there_is_none(faulty, tmp_path):
    why = "gpu-only needs a GPU, and this run has none"
    run = sweep(tmp_path, "good,gpu-only", Slots())
    found = {r.method: (r.status, r.reason, r.failed) for r in run.records}
    assert found == {"good": ("ok", "", False), "gpu-only": ("skipped", why, False)}
    again = sweep(tmp_path, "good,gpu-only", two_gpus())  # the same folder, on another machine
    assert {record.status for record in again.records} == {"ok"}


def test_an_interruption_ends_jobs_on_gpus_and_those_that_wait(faulty, tmp_path):
    trace = tmp_path / "trace"
    plan = make_plan("tiny", {}, f"good,on-gpu:trace={trace},seconds=60", device="cuda")

    def interrupt(record):
        raise KeyboardInterrupt

    run = Run(plan, Store(tmp_path / "results"), Mode(), 1, interrupt, slots=two_gpus(1))
    with pytest.raises(KeyboardInterrupt):
        run.execute()
    assert {record.method for record in run.records} == {"good"}


@pytest.mark.parametrize(
    "error, is_it",
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 20 MiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("HIP out of memory"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), False),
        (ValueError("CUDA out of memory"), False),
    ],
)
def test_what_tells_of_gpu_memory(error, is_it):
    assert gpu_memory.is_out_of_memory(error) is is_it
    outer = ValueError("the method failed")
    outer.__cause__ = error
    assert gpu_memory.is_out_of_memory(outer) is is_it


def test_torch_s_own_error_tells_of_gpu_memory():
    import torch

    assert gpu_memory.is_out_of_memory(torch.OutOfMemoryError("no luck"))
    assert gpu_memory.peak_mb() is None  # CUDA was not used
