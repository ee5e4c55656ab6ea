"""Pickles read as data: a reader of their opcodes that builds plain values and calls nothing.

Python's own reader calls whatever a file names, and even a reader that allows only arrays lets the
file set their inner state, which can end the process. This one knows lists, tuples, dictionaries,
strings, numbers and bytes. What a file names beyond that is handed to `PlainReader.find`, which
refuses it unless a subclass says what to make of it.

The opcodes are those of `pickletools`, up to protocol 5.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

_FLOAT = ord("G")
_FLOAT_BYTES = 9
_BLOCK = 2048


class PickleError(ValueError):
    """A pickle that is damaged, or asks for more than plain values."""


class Run:
    """Several floats that follow each other in a file, in one array."""

    __slots__ = ("values",)

    def __init__(self, values: np.ndarray) -> None:
        self.values = values


def numbers(items: Any) -> np.ndarray:
    """(n,) float64: the numbers of a list or tuple that a `PlainReader` built.

    Raises
    ------
    PickleError: it is none, or holds something else.
    """
    if not isinstance(items, list | tuple):
        raise PickleError(f"a {type(items).__name__} in place of a list of numbers")
    parts, single = [], []
    for item in items:
        if isinstance(item, Run):
            parts += [np.array(single, dtype=np.float64), item.values]
            single = []
        elif isinstance(item, int | float) and not isinstance(item, bool):
            single.append(float(item))
        else:
            raise PickleError(f"a {type(item).__name__} among numbers")
    return np.concatenate([*parts, np.array(single, dtype=np.float64)])


class PlainReader:
    """One pickle. Subclasses may override `find`, `call`, `build`, `put`, `extend` and
    `persistent`."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0
        self._bytes = np.frombuffer(content, dtype=np.uint8)
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The value that the pickle describes. Lists of floats hold `Run`s, see `numbers`.

        Raises
        ------
        PickleError: it is damaged, or asks for something that `find` refuses.
        """
        try:
            while True:
                code = self._take(1)[0]
                if code == _FLOAT:
                    self._floats()
                elif code == ord("."):
                    return self._pop()
                else:
                    act = _ACTIONS.get(code)
                    if act is None:
                        raise PickleError(f"it has the opcode {code:#04x}, which is not plain data")
                    act(self)
        except PickleError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, struct.error) as error:
            raise PickleError(f"it is damaged near byte {self._at:,} ({error!r})") from error

    # --- what a file may ask for beyond plain values

    def find(self, module: str, name: str) -> Any:
        """What stands for a class or function that the file names."""
        raise PickleError(f"it asks for {module}.{name}, which is not plain data")

    def call(self, function: Any, arguments: tuple) -> Any:
        """What stands for the result of a call."""
        raise PickleError(f"it asks to call a {type(function).__name__}, which is not plain data")

    def build(self, made: Any, state: Any) -> None:
        """Take note of the state that the file gives to something made."""
        raise PickleError(f"it sets the state of a {type(made).__name__}, which is not plain data")

    def put(self, made: Any, key: Any, value: Any) -> None:
        """Take note of an item."""
        if not isinstance(made, dict):
            raise PickleError(f"it puts items into a {type(made).__name__}")
        made[key] = value

    def extend(self, made: Any, items: list[Any]) -> None:
        """Take note of the items of a list. Floats may be `Run`s."""
        if not isinstance(made, list):
            raise PickleError(f"it appends to a {type(made).__name__}")
        made.extend(items)

    def persistent(self, identifier: Any) -> Any:
        """What stands for something that lies outside the pickle."""
        raise PickleError("it refers to something outside itself")

    # --- bytes

    def _take(self, n: int) -> bytes:
        taken = self._content[self._at : self._at + n]
        if len(taken) != n or n < 0:
            raise PickleError("it ends early")
        self._at += n
        return taken

    def _line(self) -> bytes:
        end = self._content.find(b"\n", self._at)
        if end < 0:
            raise PickleError("it ends early")
        line, self._at = self._content[self._at : end], end + 1
        return line.removesuffix(b"\r")

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _floats(self) -> None:
        """All floats that follow at once."""
        begin = self._at - 1
        n = 0
        while True:
            codes = self._bytes[begin + n * _FLOAT_BYTES :][: _BLOCK * _FLOAT_BYTES : _FLOAT_BYTES]
            other = np.flatnonzero(codes != _FLOAT)
            n += int(other[0]) if len(other) else len(codes)
            if len(other) or len(codes) < _BLOCK:
                break
        end = begin + n * _FLOAT_BYTES
        if end > len(self._content):
            raise PickleError("it ends early")
        rows = self._bytes[begin:end].reshape(n, _FLOAT_BYTES)[:, 1:]
        self._stack.append(Run(np.ascontiguousarray(rows).view(">f8")[:, 0].astype(np.float64)))
        self._at = end

    # --- the stack

    def _pop(self) -> Any:
        found = self._stack.pop()
        if not isinstance(found, Run):
            return found
        if len(found.values) > 1:
            self._stack.append(Run(found.values[:-1]))
        return float(found.values[-1])

    def _top(self) -> Any:
        found = self._pop()
        self._stack.append(found)
        return found

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _marked(self) -> list[Any]:
        """What lies above the last mark, which is removed."""
        items, self._stack = self._stack, self._below.pop()
        return items

    def _each(self) -> list[Any]:
        """The same with every float on its own."""
        return each(self._marked())

    # --- opcodes that are more than a line

    def mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def put_items(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise PickleError("it is damaged: a key without a value")
        made = self._top()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.put(made, key, value)

    def put_one(self) -> None:
        value, key = self._pop(), self._pop()
        self.put_items([key, value])

    def dictionary(self) -> None:
        items = self._each()
        self._push({})
        self.put_items(items)

    def append(self) -> None:
        item = self._pop()
        self.extend(self._top(), [item])

    def appends(self) -> None:
        items = self._marked()
        self.extend(self._top(), items)

    def tuple_of(self, n: int) -> None:
        self._push(tuple([self._pop() for _ in range(n)][::-1]))

    def add_items(self) -> None:
        items = self._each()
        self._top().update(items)

    def stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._push(self.find(_text(module), _text(name)))

    def line_global(self) -> None:
        module, name = (self._line().decode() for _ in range(2))
        self._push(self.find(module, name))

    def reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        self._push(self.call(function, _tuple(arguments)))

    def reduce_named(self) -> None:
        named, arguments, function = self._pop(), self._pop(), self._pop()
        if named:
            raise PickleError("it asks for a call with named arguments")
        self._push(self.call(function, _tuple(arguments)))

    def instance(self) -> None:
        module, name = (self._line().decode() for _ in range(2))
        self._push(self.call(self.find(module, name), tuple(self._each())))

    def object_of_class(self) -> None:
        function, *arguments = self._each()
        self._push(self.call(function, tuple(arguments)))

    def set_state(self) -> None:
        state = self._pop()
        self.build(self._top(), state)

    def whole(self) -> None:
        """INT in decimals, or a truth value."""
        line = self._line()
        self._push({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line))

    def quoted(self) -> None:
        """A string of protocol 0, in quotes and with escapes."""
        line = self._line()
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[:1] != line[-1:]:
            raise PickleError("it is damaged: a string without quotes")
        self._push(_old_string(codecs.escape_decode(line[1:-1])[0]))


def each(items: list[Any]) -> list[Any]:
    """Items with every float of a `Run` on its own."""
    if not any(isinstance(item, Run) for item in items):
        return items
    return [
        one for item in items for one in (item.values.tolist() if isinstance(item, Run) else [item])
    ]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise PickleError(f"a {type(value).__name__} in place of text")
    return value


def _tuple(value: Any) -> tuple:
    if not isinstance(value, tuple):
        raise PickleError(f"a {type(value).__name__} in place of arguments")
    return value


def _old_string(content: bytes) -> str | bytes:
    """A string of Python 2, which may have been bytes."""
    return content.decode("ascii") if content.isascii() else content


_r = PlainReader
_ACTIONS: dict[int, Callable[[PlainReader], Any]] = {
    ord(code): action
    for code, action in {
        "(": _r.mark,
        "0": _r._pop,
        "1": _r._marked,
        "2": lambda r: r._push(r._top()),
        "N": lambda r: r._push(None),
        "\x88": lambda r: r._push(True),
        "\x89": lambda r: r._push(False),
        "I": _r.whole,
        "L": lambda r: r._push(int(r._line().removesuffix(b"L"))),
        "J": lambda r: r._push(r._number("<i")),
        "K": lambda r: r._push(r._number("<B")),
        "M": lambda r: r._push(r._number("<H")),
        "\x8a": lambda r: r._push(_whole(r._take(r._number("<B")))),
        "\x8b": lambda r: r._push(_whole(r._take(r._number("<i")))),
        "F": lambda r: r._push(float(r._line())),
        "S": _r.quoted,
        "T": lambda r: r._push(_old_string(r._take(r._number("<i")))),
        "U": lambda r: r._push(_old_string(r._take(r._number("<B")))),
        "B": lambda r: r._push(r._take(r._number("<I"))),
        "C": lambda r: r._push(r._take(r._number("<B"))),
        "\x8e": lambda r: r._push(r._take(r._number("<Q"))),
        "\x96": lambda r: r._push(r._take(r._number("<Q"))),
        "V": lambda r: r._push(r._line().decode("raw-unicode-escape")),
        "X": lambda r: r._push(_unicode(r._take(r._number("<I")))),
        "\x8c": lambda r: r._push(_unicode(r._take(r._number("<B")))),
        "\x8d": lambda r: r._push(_unicode(r._take(r._number("<Q")))),
        "]": lambda r: r._push([]),
        "l": lambda r: r._push(r._marked()),
        "a": _r.append,
        "e": _r.appends,
        ")": lambda r: r._push(()),
        "t": lambda r: r._push(tuple(r._each())),
        "\x85": lambda r: r.tuple_of(1),
        "\x86": lambda r: r.tuple_of(2),
        "\x87": lambda r: r.tuple_of(3),
        "}": lambda r: r._push({}),
        "d": _r.dictionary,
        "s": _r.put_one,
        "u": lambda r: r.put_items(r._each()),
        "\x8f": lambda r: r._push(set()),
        "\x90": _r.add_items,
        "\x91": lambda r: r._push(frozenset(r._each())),
        "p": lambda r: r._memo.__setitem__(int(r._line()), r._top()),
        "q": lambda r: r._memo.__setitem__(r._number("<B"), r._top()),
        "r": lambda r: r._memo.__setitem__(r._number("<I"), r._top()),
        "\x94": lambda r: r._memo.__setitem__(len(r._memo), r._top()),
        "g": lambda r: r._push(r._memo[int(r._line())]),
        "h": lambda r: r._push(r._memo[r._number("<B")]),
        "j": lambda r: r._push(r._memo[r._number("<I")]),
        "c": _r.line_global,
        "\x93": _r.stack_global,
        "R": _r.reduce,
        "\x81": _r.reduce,
        "\x92": _r.reduce_named,
        "i": _r.instance,
        "o": _r.object_of_class,
        "b": _r.set_state,
        "P": lambda r: r._push(r.persistent(r._line().decode())),
        "Q": lambda r: r._push(r.persistent(r._pop())),
        "\x80": lambda r: r._take(1),
        "\x95": lambda r: r._take(8),
    }.items()
}


def _whole(content: bytes) -> int:
    return int.from_bytes(content, "little", signed=True)


def _unicode(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")
