"""Strict reading of parsed JSON and YAML: every problem is collected with its path, unknown fields are refused.

``Fields`` wraps one mapping. A getter that finds something wrong notes ``path: wanted X, got Y`` and returns an
empty value, so that one pass reports everything; :meth:`Fields.finish` notes fields nobody asked for, and
:meth:`Problems.check` raises once at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from installer.bundle.errors import OperatorError

T = TypeVar("T")
_MISSING: Any = object()
_MOST_SHOWN = 20


class Problems(list[str]):
    """Problems found so far, each ``path: what is wrong``."""

    def check(self, message: str, error: type[OperatorError], *, where: str, next_step: str | None = None) -> None:
        """Raises ``error`` naming all problems (at most 20) if there are any."""
        if self:
            shown = self[:_MOST_SHOWN] + ([f"and {len(self) - _MOST_SHOWN} more"] if len(self) > _MOST_SHOWN else [])
            raise error(message, where=where, got="\n".join(shown), next_step=next_step)


class Fields:
    """One mapping being read; ``path`` is its place in the document (empty at the top)."""

    def __init__(self, data: object, problems: Problems, path: str = "") -> None:
        self.problems = problems
        self.path = path
        self._data: dict[str, Any] = {}
        self._asked: set[str] = set()
        if isinstance(data, dict) and all(isinstance(key, str) for key in data):
            self._data = data
        else:
            self.note("", f"wanted a mapping, got {_kind(data)}")

    def _place(self, key: str) -> str:
        return ".".join(part for part in (self.path, key) if part) or "the document"

    def note(self, key: str, what: str) -> None:
        """Records a problem with the field ``key`` of this mapping."""
        self.problems.append(f"{self._place(key)}: {what}")

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def keys(self) -> list[str]:
        """The keys that are there."""
        return list(self._data)

    def given(self) -> dict[str, Any]:
        """The mapping as it is, whole; no field counts as read by this."""
        return dict(self._data)

    def _typed(self, key: str, kind: type, what: str, default: Any) -> Any:
        self._asked.add(key)
        value = self._data.get(key, _MISSING)
        if value is _MISSING or (value is None and default is not _MISSING):
            if default is _MISSING:
                self.note(key, f"missing, wanted {what}")
                return kind()
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.note(key, f"wanted {what}, got {_kind(value)}")
            return kind()
        return value

    def text(self, key: str, default: Any = _MISSING, *, has_lines: bool = False) -> Any:
        """A string (not empty unless the default is), of one line unless it ``has_lines``."""
        value = self._typed(key, str, "a string", default)
        if value == "" and key in self._data and default != "":
            self.note(key, "must not be empty")
        if not has_lines:
            self._demand_printable(key, value)
        return value

    def _demand_printable(self, key: str, value: object) -> None:
        """No word may steer a terminal or break a line, whoever prints it later."""
        if isinstance(value, str) and not value.isprintable():
            self.note(key, f"wanted printable characters, got {value[:60]!r}")

    def integer(self, key: str, default: Any = _MISSING, *, least: int = 0, most: int = 2**63 - 1) -> Any:
        """A whole number from ``least`` to ``most``."""
        value = self._typed(key, int, "a whole number", default)
        if key in self._data and isinstance(value, int) and not least <= value <= most:
            self.note(key, f"wanted {least} to {most}, got {value}")
        return value

    def boolean(self, key: str, default: Any = _MISSING) -> Any:
        """``true`` or ``false``."""
        return self._typed(key, bool, "true or false", default)

    def choice(self, key: str, options: tuple[str, ...], default: Any = _MISSING) -> Any:
        """One of ``options``."""
        value = self._typed(key, str, "one of " + ", ".join(options), default)
        if key in self._data and value not in options and isinstance(self._data[key], str):
            self.note(key, f"wanted one of {', '.join(options)}, got {value!r}")
        return value

    def parsed(self, key: str, parse: Callable[[str], T], default: Any = _MISSING) -> Any:
        """A string turned into a value by ``parse``, whose :class:`OperatorError` becomes a problem."""
        self._asked.add(key)
        if key not in self._data and default is not _MISSING:
            return default
        text = self._typed(key, str, "a string", _MISSING)
        if not isinstance(self._data.get(key), str):
            return default if default is not _MISSING else None
        try:
            return parse(text)
        except OperatorError as error:
            self.note(key, f"{error.message}: wanted {error.wanted}, got {text[:200]!r}")
            return default if default is not _MISSING else None

    def parsed_list(self, key: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        """A list of strings, each turned into a value by ``parse``."""
        values = []
        for number, text in enumerate(self.texts(key)):
            try:
                values.append(parse(text))
            except OperatorError as error:
                self.note(f"{key}[{number}]", f"{error.message}: wanted {error.wanted}, got {text[:200]!r}")
        return tuple(values)

    def texts(self, key: str, default: Any = _MISSING) -> Any:
        """A list of strings."""
        values = self._typed(key, list, "a list of strings", default)
        if isinstance(values, list) and not all(isinstance(value, str) for value in values):
            self.note(key, "wanted a list of strings")
            return []
        for number, value in enumerate(values or ()):
            self._demand_printable(f"{key}[{number}]", value)
        return values

    def mapping(self, key: str, *, optional: bool = False) -> Fields:
        """A nested mapping; when ``optional`` and absent, an empty one."""
        value = self._typed(key, dict, "a mapping", {} if optional else _MISSING)
        return Fields(value, self.problems, self._place(key))

    def mappings(self, key: str, *, optional: bool = False) -> Iterator[Fields]:
        """Each mapping of a list."""
        values = self._typed(key, list, "a list of mappings", [] if optional else _MISSING)
        for number, value in enumerate(values):
            yield Fields(value, self.problems, f"{self._place(key)}[{number}]")

    def text_map(self, key: str, *, optional: bool = True) -> dict[str, str]:
        """A mapping of strings to strings (numbers and booleans are refused: YAML would have changed them)."""
        value = self._typed(key, dict, "a mapping of strings", {} if optional else _MISSING)
        for name, item in value.items():
            if not isinstance(name, str) or not isinstance(item, str):
                self.note(f"{key}.{name}", f"wanted a string, got {_kind(item)}")
                return {}
            self._demand_printable(key, name)
            self._demand_printable(f"{key}.{name}", item)
        return dict(value)

    def raw(self, key: str, default: Any = None) -> Any:
        """The value as it is, for parts that are passed on unread."""
        self._asked.add(key)
        return self._data.get(key, default)

    def finish(self) -> None:
        """Notes every field that no getter asked for."""
        for key in sorted(set(self._data) - self._asked):
            self.note(key, "unknown field")


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: f"the string {str(value)[:60]!r}", type(None): "nothing"}
    return names.get(type(value), repr(value)[:60])
