"""Which methods `bench predict` runs."""

from __future__ import annotations

from cdnbench.digest import digest
from cdnbench.errors import InvalidParameter
from cdnbench.loaded import LoadedMethod
from cdnbench.registry import load_method, parse_methods

DEFAULT_METHOD = "cdn"
ANYWHERE = "target-shift"
"""A method that runs on any samples, for hints."""


def chosen_methods(text: str = "") -> list[LoadedMethod]:
    """The methods of `a,b:parameter=value`, each once; the default method for "".

    Raises
    ------
    BenchError: a method or parameter that does not exist, or one that has to be trained.
    """
    found: dict[str, LoadedMethod] = {}
    for name, parameters in parse_methods(text or DEFAULT_METHOD):
        method = load_method(name, **parameters)
        if method.needs_fit:
            raise InvalidParameter(
                f"{method.label} has to be trained, and a file of one's own has no training set; "
                "`bench list methods` names the others."
            )
        method.weights_digest()
        found.setdefault(digest(method.label, method.all_parameters), method)
    if not found:
        raise InvalidParameter(f"--method names no method: {text!r}.")
    return list(found.values())


def text_of(method: LoadedMethod) -> str:
    """How a method is written, with the parameters that differ from its defaults."""
    parameters = ",".join(f"{name}={value}" for name, value in sorted(method.parameters.items()))
    return f"{method.label}:{parameters}" if parameters else method.label


def why_not(method: LoadedMethod, reason: str) -> str:
    """What to say where a method can run on nothing that was given."""
    hint = "" if method.label == ANYWHERE else f" --method {ANYWHERE} runs on any samples."
    return f"{method.label} cannot run on these samples: {reason.rstrip('.')}.{hint}"
