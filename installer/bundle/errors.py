"""Errors that both sides raise, in families by who can fix them.

Every error has the four parts an operator needs: what happened (the message), where, what was wanted and what was
there, and what to do next. Only the two ``cli`` modules print them; :func:`OperatorError.lines` gives the text.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
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


class MediumError(IntegrityError):
    """The medium does not give its bytes: taken out, or failing. What it holds may be whole."""

    @classmethod
    def of(cls, where: str, error: OSError) -> MediumError:
        """The error for ``where`` on a medium, and for what the operating system said."""
        return cls(
            "the medium cannot be read",
            where=where,
            wanted="the media set, until the end",
            got=error.strerror or str(error),
            next_step="if it was taken out, plug it in again and run the same command again; finished steps\n"
            "are skipped. If it stays so, copy the media set to another medium",
        )


class FormatError(IntegrityError):
    """Bytes that claim to be part of a bundle do not have its format; ``newer`` ones ask for a newer tool."""


class RegistryError(OperatorError):
    """A registry did not do what it was asked: no answer, no permission, or a refusal."""

    family = "network"
    exit_code = 5


def told_without_values(error: BaseException) -> str:
    """What kind of mistake it was: the words of any other error may quote what was read, a key or a token too."""
    words = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    return f"{type(error).__name__}{words}"


def trace_without_values(error: BaseException) -> Iterator[str]:
    """The lines of a traceback, the last call last: where in the code, and for each error in the chain its kind."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from trace_without_values(before)
        yield "which led to:"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"  {frame.filename}, line {frame.lineno}, in {frame.name}"
    yield told_without_values(error)


def printable(text: str) -> str:
    """``text`` with every control character made visible, so that no outside name can steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
