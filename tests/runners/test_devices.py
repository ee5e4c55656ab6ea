"""Slots on GPUs that are not there: who gets which, and that no GPU is ever asked for more memory
than it has."""

import heapq
import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.optimize import linprog

from cdnbench.errors import InvalidParameter
from cdnbench.runners import gpus
from cdnbench.runners.devices import Gpu, Slot, SlotQueue, Slots, Stopped, Waiting
from cdnbench.runners.packing import ordered

MEMORY_MB = 40_000.0


def machine(n=4, jobs_per_gpu=4, memory_mb=MEMORY_MB):
    return Slots([Gpu(str(i), memory_mb) for i in range(n)], jobs_per_gpu)


def mixed_jobs(seed, n=40):
    """Jobs from small and short to more than half of a GPU."""
    rng = random.Random(seed)
    sizes = (2_000.0, 5_000.0, 9_000.0, 14_000.0, 22_000.0)
    return [Waiting(rng.choice(sizes), rng.uniform(20.0, 200.0)) for _ in range(n)]


def makespan(slots, jobs):
    """When the last job ends, with each lasting its `seconds`; the books are checked meanwhile."""
    waiting, running, now, count = list(jobs), [], 0.0, itertools.count()
    while waiting or running:
        while (found := slots.choose(waiting)) is not None:
            job, slot = found
            waiting.remove(job)
            slots.take(slot)
            heapq.heappush(running, (now + job.seconds, next(count), slot))
            for gpu in slots.gpus:
                assert slots.used_mb(gpu) <= gpu.memory_mb
                on_it = sum(held.gpu == gpu for _, _, held in running)
                assert on_it <= slots.jobs_per_gpu
        now, _, slot = heapq.heappop(running)
        slots.give_back(slot)
    return now


def ideal(jobs, n, jobs_per_gpu):
    """A bound below every schedule: the longest job, or what it would take if each job could be cut
    into as many pieces as one likes and a GPU went through the best mixtures of sizes that fit."""
    sizes = sorted({job.need_mb for job in jobs})
    work = [sum(job.seconds for job in jobs if job.need_mb == size) for size in sizes]
    mixtures = [
        [mixture.count(size) for size in sizes]
        for k in range(1, jobs_per_gpu + 1)
        for mixture in itertools.combinations_with_replacement(sizes, k)
        if sum(mixture) <= MEMORY_MB
    ]
    spent = linprog([1.0] * len(mixtures), -np.array(mixtures).T, -np.array(work)).fun
    return max(spent / n, max(job.seconds for job in jobs))


@pytest.mark.parametrize("jobs_per_gpu", [1, 2])
def test_forty_jobs_on_four_gpus_take_little_more_than_the_ideal_time(jobs_per_gpu):
    for seed in range(3):
        jobs, slots = mixed_jobs(seed), machine(4, jobs_per_gpu)
        share = ideal(jobs, 4, jobs_per_gpu) / makespan(slots, ordered(jobs, slots))
        assert share >= 0.95, (seed, share)


def test_many_slots_whose_memory_no_mixture_fills_cost_a_tenth_on_average():
    """Four jobs fit on a GPU, and few mixtures of sizes fill it: the ideal cuts jobs to pieces."""
    shares = []
    for seed in range(3):
        jobs, slots = mixed_jobs(seed), machine(4, 4)
        shares.append(ideal(jobs, 4, 4) / makespan(slots, ordered(jobs, slots)))
    assert np.mean(shares) >= 0.9 and min(shares) >= 0.88, shares


def test_a_job_goes_where_it_leaves_least_and_waits_where_nothing_is_left():
    slots = machine(2, 3)
    for need in (30_000.0, 9_000.0, 25_000.0, 14_000.0):
        slots.take(slots.slot(need))
    assert [slots.used_mb(gpu) for gpu in slots.gpus] == [39_000.0, 39_000.0]
    assert slots.slot(1_001.0) is None and slots.slot(1_000.0).gpu.name == "0"


def test_slots_end_before_memory_does():
    slots = machine(1, 2)
    slots.take(slots.slot(10.0))
    slots.take(slots.slot(10.0))
    assert slots.slot(10.0) is None and slots.choose([Waiting(10.0, 1.0)]) is None


def test_a_job_beyond_every_gpu_gets_the_largest_to_itself():
    slots = Slots([Gpu("0", 100.0), Gpu("1", 200.0)], 2)
    slot = slots.slot(500.0)
    assert slot == Slot(Gpu("1", 200.0), 200.0) and slot.share_mb is None
    slots.take(slot)
    assert slots.slot(101.0) is None and slots.slot(99.0).gpu.name == "0"


def test_a_job_that_shares_a_gpu_has_a_share_of_its_memory():
    assert machine(1, 2).slot(7.0).share_mb == 7.0
    assert machine(1, 1).slot(7.0).share_mb is None


def run_all(queue, n_threads):
    """Work through a queue with threads, and raise what they raised."""
    with ThreadPoolExecutor(n_threads) as pool:
        for done in [pool.submit(queue.work) for _ in range(n_threads)]:
            done.result(timeout=60)


def test_threads_never_take_more_than_there_is():
    slots, books, most = machine(4, 3), threading.Lock(), {}
    used, everywhere = dict.fromkeys(slots.gpus, 0.0), threading.Event()

    def run(lease):
        gpu, need = lease.slot.gpu, lease.slot.need_mb
        with books:
            used[gpu] += need
            most[gpu] = max(most.get(gpu, 0.0), used[gpu])
            if len(most) == 4:
                everywhere.set()
        everywhere.wait(timeout=50)  # the first jobs end when there is one on each GPU
        time.sleep(0.001)
        with books:
            used[gpu] -= need

    jobs = [replace(job, run=run) for job in mixed_jobs(0)]
    run_all(SlotQueue(slots, jobs), slots.number)
    assert len(most) == 4 and max(most.values()) <= MEMORY_MB
    assert all(slots.used_mb(gpu) == 0 for gpu in slots.gpus)


def test_a_job_that_asks_for_a_whole_gpu_is_alone_on_it_and_is_not_starved():
    slots, on_it, seen, books = machine(1, 2), set(), [], threading.Lock()

    def small(lease, number):
        with books:
            on_it.add(number)
        time.sleep(0.002)
        with books:
            on_it.remove(number)

    def greedy(lease):
        lease.widen()
        with books:
            seen.append((set(on_it), lease.slot.need_mb, lease.slot.share_mb))

    jobs = [Waiting(10.0, 1.0, partial(small, number=i)) for i in range(20)]
    jobs.insert(3, Waiting(10.0, 1.0, greedy))
    run_all(SlotQueue(slots, jobs), 2)
    assert seen == [(set(), MEMORY_MB, None)]


def test_what_needs_a_fit_waits_for_it():
    order = []
    note = lambda name: lambda lease: order.append(name)  # noqa: E731
    jobs = [
        Waiting(10.0, 9.0, note("job"), after="f"),
        Waiting(10.0, 1.0, note("other")),
        Waiting(10.0, 1.0, lambda lease: (time.sleep(0.05), order.append("fit")), fit="f"),
    ]
    run_all(SlotQueue(machine(2, 2), jobs), 4)
    assert order == ["other", "fit", "job"]


def test_a_thread_that_fails_gives_its_slot_back():
    def fails(lease):
        raise RuntimeError("no luck")

    slots = machine(1, 1)
    with pytest.raises(RuntimeError):
        SlotQueue(slots, [Waiting(10.0, 1.0, fails)]).work()
    assert slots.slot(MEMORY_MB) is not None


def test_a_queue_that_is_stopped_lets_everybody_go():
    slots = machine(1, 1)
    slots.take(slots.slot(10.0))  # for ever
    queue, stopped = SlotQueue(slots, [Waiting(10.0, 1.0)]), []

    def wants_all():
        try:
            queue.whole()
        except Stopped:
            stopped.append(True)

    threads = [threading.Thread(target=queue.work), threading.Thread(target=wants_all)]
    for thread in threads:
        thread.start()
    queue.stop()
    for thread in threads:
        thread.join(10)
    assert stopped == [True] and not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize(
    "text, numbers", [("0", [0]), ("0-3", [0, 1, 2, 3]), ("2,0", [2, 0]), ("0-1, 4", [0, 1, 4])]
)
def test_numbers_of_gpus(text, numbers):
    assert gpus.parse_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "0,,1", "0,0", "0-2,1"])
def test_what_is_no_list_of_gpus(text):
    with pytest.raises(InvalidParameter, match="--gpus"):
        gpus.parse_numbers(text)


def test_a_batch_system_has_chosen_gpus_already():
    assert gpus.visible_names(2, "4,GPU-8a1b,MIG-77") == ["4", "GPU-8a1b"]
    assert gpus.visible_names(2, "") == ["0", "1"]


def test_gpus_that_are_not_there_are_named(monkeypatch):
    monkeypatch.setattr(gpus, "found_gpus", lambda: [Gpu("0", 1.0), Gpu("1", 1.0)])
    assert [gpu.name for gpu in gpus.slots_for(True, "1").gpus] == ["1"]
    assert gpus.slots_for(True, None, 3).number == 6
    assert gpus.slots_for(False).number == 0
    with pytest.raises(InvalidParameter, match="names 2, and torch sees GPUs 0 to 1"):
        gpus.slots_for(True, "0-2")
    with pytest.raises(InvalidParameter, match="--jobs-per-gpu is at least 1"):
        gpus.slots_for(True, None, 0)
