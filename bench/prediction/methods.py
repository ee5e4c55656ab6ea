"""Which methods `bench predict` runs: those that are named, or those that suit the samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cdnbench.digest import digest
from cdnbench.errors import InvalidParameter
from cdnbench.loaded import LoadedMethod
from cdnbench.prediction.choice import Choice
from cdnbench.prediction.untrained import check_trained
from cdnbench.registry import load_method, parse_methods

AUTO = "auto"
"""The name that leaves the choice to `cdnbench.prediction.choice`."""
ANYWHERE = "target-shift"
"""A method that runs on any samples, for hints."""


def chosen_methods(text: str) -> list[LoadedMethod]:
    """The methods of `a,b:parameter=value`, each once.

    Raises
    ------
    BenchError: a method or parameter that does not exist. CannotRun: one that has to be trained.
    """
    found: dict[str, LoadedMethod] = {}
    for name, parameters in parse_methods(text):
        if name == AUTO:
            raise InvalidParameter(
                f"--method {text}: auto chooses by itself; name it alone, or name methods only."
            )
        method = load_method(name, **parameters)
        check_trained(method)
        method.weights_digest()
        found.setdefault(digest(method.label, method.all_parameters), method)
    if not found:
        raise InvalidParameter(f"--method names no method: {text!r}.")
    return list(found.values())


def is_auto(text: str) -> bool:
    """Whether the choice is left to the evidence: for `auto` and for nothing."""
    return text.strip() in ("", AUTO)


@dataclass(frozen=True)
class Selection:
    """Methods for each of several comparisons.

    methods: all of them. of_each: those of each comparison, in its order. notes: why they were
    chosen, in sentences; empty where they were named.
    """

    methods: tuple[LoadedMethod, ...]
    of_each: tuple[tuple[LoadedMethod, ...], ...]
    notes: tuple[str, ...] = ()

    @staticmethod
    def named(text: str, n: int) -> Selection:
        """The same methods for n comparisons. Raises as `chosen_methods`."""
        methods = tuple(chosen_methods(text))
        return Selection(methods, (methods,) * n)

    @staticmethod
    def by_evidence(
        choices: Sequence[Choice], load: Callable[[str], LoadedMethod] = load_method
    ) -> Selection:
        """What was chosen for each comparison. load: name -> method."""
        loaded = {name: load(name) for name in dict.fromkeys(_names(choices))}
        counts = Counter((choice.methods, choice.why) for choice in choices)
        notes = []
        for (methods, why), n in counts.most_common():
            share = f" for {n:,} of {len(choices):,} perturbations" if len(counts) > 1 else ""
            notes.append(f"Chosen{share}: {' and '.join(methods)}, for {why}")
        notes += dict.fromkeys(note for choice in choices for note in choice.notes)
        of_each = tuple(tuple(loaded[name] for name in choice.methods) for choice in choices)
        return Selection(tuple(loaded.values()), of_each, tuple(notes))


def _names(choices: Sequence[Choice]) -> list[str]:
    return [name for choice in choices for name in choice.methods]


def text_of(method: LoadedMethod) -> str:
    """How a method is written, with the parameters that differ from its defaults."""
    parameters = ",".join(f"{name}={value}" for name, value in sorted(method.parameters.items()))
    return f"{method.label}:{parameters}" if parameters else method.label


def why_not(method: LoadedMethod, reason: str) -> str:
    """What to say where a method can run on nothing that was given."""
    hint = "" if method.label == ANYWHERE else f" --method {ANYWHERE} runs on any samples."
    return f"{method.label} cannot run on these samples: {reason.rstrip('.')}.{hint}"
