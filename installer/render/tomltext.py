"""Setting a few values in a TOML text that somebody else wrote: every other line, comment and blank stays as it is.

The text is split into statements (a table's header, or a key with its value), which :mod:`tomllib` itself delimits.
The result is parsed again and must be the old document with the wanted values and nothing else different.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from installer.errors import InputError

KeyPath = tuple[str, ...]
Value = str | bool | int | list[str]
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Statement:
    """Lines ``start`` to before ``end``: a header of ``table``, or in it the ``key`` (dotted ones have parts)."""

    start: int
    end: int
    table: KeyPath
    key: KeyPath = ()

    @property
    def path(self) -> KeyPath:
        """What the statement defines, from the top."""
        return self.table + self.key


def with_values(text: str, values: Mapping[KeyPath, Value], *, where: str) -> str:
    """``text`` with each of ``values``; :class:`InputError` where it is not TOML or cannot be edited by lines."""
    document = parsed(text, where=where)
    wanted = copy.deepcopy(document)
    newline = "\r\n" if "\r\n" in text else "\n"
    if text.count("\n") != text.count(newline):
        raise _not_editable(values, where)
    lines = text.split(newline)
    for path, value in values.items():
        lines = _set(lines, path, value)
        _put(wanted, path, value, where)
    result = newline.join(lines)
    try:
        proven = tomllib.loads(result) == wanted
    except tomllib.TOMLDecodeError:
        proven = False
    if not proven:
        raise _not_editable(values, where)
    return result


def parsed(text: str, *, where: str) -> dict[str, Any]:
    """The document in ``text``; :class:`InputError` if it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError("the file is not TOML", where=where, got=str(error)) from None


def assignment(path: KeyPath, value: Value) -> str:
    """``key = value`` with ``path`` as a dotted key; JSON's strings, booleans and lists are TOML's too."""
    return f"{dotted(path)} = {json.dumps(value, ensure_ascii=False)}"


def dotted(path: KeyPath) -> str:
    """``plugins.'io.containerd.cri.v1.images'.registry``."""
    return ".".join(part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in path)


def statements(lines: list[str]) -> list[Statement]:
    """The statements of a valid TOML text, in order; keys of arrays of tables are left out."""
    found: list[Statement] = []
    table: KeyPath | None = ()
    start = 0
    while start < len(lines):
        first = lines[start].strip()
        if not first or first.startswith("#"):
            start += 1
            continue
        end = _end_of(lines, start)
        if first.startswith("["):
            table = None if first.startswith("[[") else _chain(tomllib.loads(lines[start]))
            if table is not None:
                found.append(Statement(start, end, table))
        elif table is not None:
            found.append(Statement(start, end, table, _key_of("\n".join(lines[start:end]))))
        start = end
    return found


def _end_of(lines: list[str], start: int) -> int:
    """The line after the statement that begins at ``start``: the shortest piece that is TOML by itself."""
    for end in range(start + 1, len(lines) + 1):
        try:
            tomllib.loads("\n".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    return len(lines)


def _key_of(statement: str) -> KeyPath:
    for match in re.finditer("=", statement):
        try:
            return _chain(tomllib.loads(f"{statement[: match.start()]}= 0"))
        except tomllib.TOMLDecodeError:
            continue
    return ()


def _chain(document: Any) -> KeyPath:
    path: KeyPath = ()
    while isinstance(document, dict) and document:
        ((key, document),) = document.items()
        path = (*path, key)
    return path


def _set(lines: list[str], path: KeyPath, value: Value) -> list[str]:
    there = statements(lines)
    for statement in there:
        if statement.key and statement.path == path:
            new = _indent(lines[statement.start]) + assignment(statement.key, value) + _comment(lines, statement)
            return [*lines[: statement.start], new, *lines[statement.end :]]
    parent = path[:-1]
    inside = [item for item in there if item.table == parent]
    if parent and not inside:
        siblings = [item for item in there if len(item.key) > 1 and item.path[: len(parent)] == parent]
        if not siblings:
            return _appended(lines, parent, assignment(path[-1:], value))
        inside = [item for item in siblings if item.table == siblings[-1].table]
    if not inside:  # a key of the top in a file with none: before the first table
        first = there[0].start if there else max(0, len(lines) - 1)
        return [*lines[:first], assignment(path, value), *lines[first:]]
    last = inside[-1]
    indent = _indent(lines[last.start]) + ("" if last.key or not parent else "  ")
    new = indent + assignment(path[len(last.table) :], value)
    return [*lines[: last.end], new, *lines[last.end :]]


def _appended(lines: list[str], table: KeyPath, line: str) -> list[str]:
    """The lines with a new table at the end, a blank line before it."""
    body = lines[:-1] if lines[-1] == "" else lines
    gap = [""] if body and body[-1].strip() else []
    return [*body, *gap, f"[{dotted(table)}]", f"  {line}", ""]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _comment(lines: list[str], statement: Statement) -> str:
    """The comment at the end of a statement of one line, with the blanks before it."""
    line = lines[statement.start].rstrip()
    if statement.end - statement.start > 1:
        return ""
    whole = tomllib.loads(line)
    for match in re.finditer(r"\s*#", line):
        try:
            if tomllib.loads(line[: match.start()]) == whole:
                return line[match.start() :]
        except tomllib.TOMLDecodeError:
            continue
    return ""


def _put(document: dict[str, Any], path: KeyPath, value: Value, where: str) -> None:
    for key in path[:-1]:
        document = document.setdefault(key, {})
        if not isinstance(document, dict):
            raise _not_editable({path: value}, where)
    document[path[-1]] = value


def _not_editable(values: Mapping[KeyPath, Value], where: str) -> InputError:
    return InputError(
        "the file cannot be edited line by line: a table in it is written inline, or its line endings are mixed",
        where=where,
        wanted="\n".join(assignment(path, value) for path, value in values.items()),
        next_step="put these values there by hand, then run this again",
    )
