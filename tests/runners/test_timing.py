"""How calls are timed."""

import os

from cdnbench.runners.timing import REPEATS, timed


def test_a_call_is_repeated_as_often_as_fits():
    calls = []
    found = timed(lambda: calls.append(1), first_s=3.0, limit_s=10.0)
    assert len(calls) == len(found["repeats_s"]) == 3 and found["warm_up_s"] == 3.0
    assert len(timed(lambda: None, first_s=0.0, limit_s=10.0)["repeats_s"]) == REPEATS
    assert timed(lambda: calls.append(1), first_s=30.0, limit_s=10.0)["repeats_s"] == []
    assert len(calls) == 3


def test_a_process_keeps_to_one_core():
    if not hasattr(os, "sched_setaffinity"):
        return
    child = os.fork()
    if child == 0:
        from cdnbench.runners.timing import on_one_core

        on_one_core()
        os._exit(len(os.sched_getaffinity(0)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
