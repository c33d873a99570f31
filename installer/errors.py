"""Errors of the isolated side: those of the bundle format, and what can go wrong on a node."""

from __future__ import annotations

from collections.abc import Sequence

from installer.bundle.errors import (
    FormatError,
    InputError,
    IntegrityError,
    MediumError,
    OperatorError,
    RegistryError,
)

__all__ = [
    "CommandError",
    "FormatError",
    "HealthError",
    "InputError",
    "IntegrityError",
    "MediumError",
    "OperatorError",
    "PreflightError",
    "RegistryError",
    "StepError",
]


class PreflightError(OperatorError):
    """The node is not fit yet; the named checks say why. Nothing was changed."""

    family = "preflight"
    exit_code = 3


class HealthError(OperatorError):
    """A node that was installed is not well; the named checks say why. Nothing was changed."""

    family = "health"
    exit_code = 3


class StepError(OperatorError):
    """A step was carried out and its own check is still not satisfied, or it could not be carried out."""


class CommandError(OperatorError):
    """A program on the node failed: ``argv`` (secrets masked), its ``code``, and the last lines of its stderr."""

    def __init__(self, argv: Sequence[str], code: int, stderr_tail: str, *, next_step: str | None = None) -> None:
        super().__init__(
            f"{argv[0]} failed",
            where=" ".join(argv),
            wanted="exit code 0",
            got=f"exit code {code}\n{stderr_tail}".rstrip(),
            next_step=next_step,
        )
        self.argv = tuple(argv)
        self.code = code
