"""Errors that both sides raise, in families by who can fix them.

Every error has the four parts an operator needs: what happened (the message), where, what was wanted and what was
there, and what to do next. Only the two ``cli`` modules print them; :func:`OperatorError.lines` gives the text.
"""

from __future__ import annotations

from typing import ClassVar


class OperatorError(Exception):
    """Base of all errors meant for an operator: message, ``where``, ``wanted``, ``got`` and ``next_step``."""

    family: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        wanted: str | None = None,
        got: str | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.wanted = wanted
        self.got = got
        self.next_step = next_step

    def lines(self) -> list[str]:
        """The error as lines of text, at most five parts, aligned as in every other message of the tool."""
        out = [f"error: {printable(self.message)}  [{self.family}]"]
        parts = (("where", self.where), ("wanted", self.wanted), ("got", self.got), ("next", self.next_step))
        for label, text in parts:
            if text is None:
                continue
            first, *rest = text.splitlines() or [""]
            out.append(f"  {label:<7} {printable(first)}")
            out.extend(f"  {'':<7} {printable(line)}" for line in rest)
        return out

    def to_dict(self) -> dict[str, str]:
        """The error for ``--json``: the family and the parts that are set."""
        parts = {
            "error": self.message,
            "family": self.family,
            "where": self.where,
            "wanted": self.wanted,
            "got": self.got,
            "next": self.next_step,
        }
        return {key: value for key, value in parts.items() if value is not None}


class InputError(OperatorError):
    """What the operator gave (an option, a file of theirs) cannot be used. Nothing was changed."""

    family = "input"
    exit_code = 2


class IntegrityError(OperatorError):
    """Bytes are not what a digest says they must be: damaged, truncated, missing or foreign."""

    family = "integrity"
    exit_code = 4


class FormatError(IntegrityError):
    """Bytes that claim to be part of a bundle do not have its format; ``newer`` ones ask for a newer tool."""


def printable(text: str) -> str:
    """``text`` with every control character made visible, so that no outside name can steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
