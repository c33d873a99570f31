"""HTML by construction: every text that goes into an element is escaped, unless it is markup made here."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID = frozenset({"meta", "rect"})
_LINES = frozenset(
    {"body", "caption", "div", "dt", "footer", "h1", "h2", "h3", "head", "header", "li", "main", "meta", "nav", "p",
     "rect", "section", "style", "table", "td", "text", "title", "tr"}
)  # fmt: skip
"""Elements that begin a line, so that two pages can be compared line by line."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, /, *children: str | Iterable[str], **attributes: object) -> Markup:
    """One element. An attribute that is ``None`` is left out; ``class_`` is ``class``, ``a_b`` is ``a-b``."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside, line = joined(*children), "\n" if tag in _LINES else ""
    if tag in _VOID and not inside:
        return Markup(f"{line}<{tag}{given}{'/' if tag == 'rect' else ''}>")
    return Markup(f"{line}<{tag}{given}>{inside}</{tag}>")


def joined(*children: str | Iterable[str]) -> Markup:
    """The children one after the other; what is no :class:`Markup` is escaped."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(html.escape(child))
        else:
            parts.append(joined(*child))
    return Markup("".join(parts))
