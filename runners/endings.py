"""What the end of a process means for its job, and which ends are not believed at once."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cdnbench.record import Status
from cdnbench.runners import messages
from cdnbench.runners.messages import Outcome
from cdnbench.runners.processes import ServerDied, Worker

FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
"""Signals that people and systems send, while others are a program's own."""

CHANGED_INPUT, KILLED = 3, 2
"""How often a job is started before one believes that its input cannot be kept from others, or that
it kills itself."""


@dataclass
class TryAgain(Exception):
    """A job ended in a way that may not be its own doing.

    outcome: what it comes to if it has ended like that `attempts` times. printed: the last part of
    its output.
    """

    outcome: Outcome
    attempts: int
    printed: bytes = b""


def settled(attempt: Callable[[], Outcome]) -> tuple[Outcome, bytes]:
    """The outcome of a job that is tried as often as its ends ask for, and what it printed if it is
    one of those ends."""
    for number in itertools.count(1):
        try:
            return attempt(), b""
        except TryAgain as again:
            if number >= again.attempts:
                return again.outcome, again.printed
    raise AssertionError("unreachable")


@dataclass
class Endings:
    """Reads the ends of a run's processes. It counts how often the system killed some process for
    want of memory, which tells its signals from those that a method sends to itself."""

    _starved: int | None = field(default_factory=lambda: system_kills())

    def of(self, answer: messages.Answer | None, process: Worker) -> Outcome:
        """The outcome of a process that ended without a result, with or without a word.

        Raises
        ------
        TryAgain: it may not be its own doing.
        """
        if isinstance(answer, messages.Spoilt):
            reason = f"other jobs changed its input {CHANGED_INPUT} times: {answer.reason}"
            raise TryAgain(Outcome(Status.error, reason, outside=True), CHANGED_INPUT)
        if isinstance(answer, messages.Broken):
            return Outcome(answer.status, answer.reason, no_gpu_memory=answer.no_gpu_memory)
        try:
            code = process.exit_code()
        except ServerDied:
            reason = "it ended together with the fork server that starts all jobs, each time"
            raise TryAgain(Outcome(Status.killed, reason), KILLED) from None
        if code is None:
            return Outcome(Status.error, "the process closed its connection and gave no result")
        if code >= 0:
            reason = f"the process exited with code {code} before it gave a result"
            return Outcome(Status.error, reason)
        return self._killed(signal_name(-code))

    def _killed(self, name: str) -> Outcome:
        before, self._starved = self._starved, system_kills()
        if before is None or self._starved is None:
            reason = f"by {name}, not by the runner (by the system, if it ran out of memory)"
            return Outcome(Status.killed, reason, outside=name in FROM_OUTSIDE)
        if name == "SIGKILL" and self._starved > before:
            reason = "by the system, which had run out of memory"
            return Outcome(Status.killed, reason, outside=True)
        reason = f"by {name}, neither by the runner nor for want of memory"
        if name not in FROM_OUTSIDE:
            return Outcome(Status.killed, reason)
        raise TryAgain(Outcome(Status.killed, f"{reason}, each of {KILLED} times"), KILLED)


def how_it_ended(exit_code: int | None) -> str:
    """How a process ended that should not have, in words."""
    if exit_code is None:
        return "closed its connection"
    if exit_code < 0:
        return f"was killed by {signal_name(-exit_code)}"
    return f"ended with code {exit_code}"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def system_kills() -> int | None:
    """How many processes the system has killed for want of memory since it started; None where it
    does not tell (Linux does)."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    except (OSError, StopIteration):
        return None
