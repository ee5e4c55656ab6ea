"""Commands of `bench train` as they were written before each network had a command of its own.

`bench train cdn --model axial` is `bench train cdn-axial`, and `bench train cdn --from W --suite S`
is `bench train fine-tune --from W --suite S`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cdnbench.errors import InvalidParameter

COMMANDS = {"mechanism": "cdn-suites", "axial": "cdn-axial", "mlp": "cdn-mlp"}
"""From the values of the former --model to commands."""


def modern(arguments: Sequence[str]) -> list[str]:
    """What follows `bench train`, in today's spelling. Arguments in today's spelling come back
    unchanged.

    >>> modern(["cdn", "--minutes", "8", "--model", "mlp"])
    ['cdn-mlp', '--minutes', '8']

    Raises
    ------
    InvalidParameter: a model that does not exist, or one that cannot be fine-tuned.
    """
    if not arguments or arguments[0] != "cdn":
        return list(arguments)
    rest, model = _without_model(arguments[1:])
    names = {word.partition("=")[0] for word in rest}
    if "--suite" not in names:
        return [COMMANDS[model], *rest] if model else list(arguments)
    if model not in (None, "mechanism"):
        raise InvalidParameter(
            f"--suite fine-tunes the network of cdn and excludes --model {model}. Leave --model "
            "away: `bench train fine-tune --from WEIGHTS --suite SUITE`."
        )
    if "--from" not in names:
        raise InvalidParameter("--suite asks for weights to fine-tune: --from WEIGHTS is missing.")
    return ["fine-tune", *rest]


def _without_model(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """The arguments without --model, and its value where it was given."""
    rest: list[str] = []
    model = None
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name != "--model":
            rest.append(word)
            continue
        model = value if equals else next(words, "")
        if model not in COMMANDS:
            raise InvalidParameter(f"--model takes mechanism, axial or mlp; got {model!r}.")
    return rest, model
