"""Errors of the connected side: those of the bundle format, and what can go wrong with a source."""

from __future__ import annotations

from installer.bundle.errors import FormatError, InputError, IntegrityError, OperatorError, RegistryError

__all__ = ["FormatError", "InputError", "IntegrityError", "OperatorError", "RegistryError", "SourceError"]


class SourceError(OperatorError):
    """An upstream did not deliver. ``temporary`` is true when the same request may work later."""

    family = "network"
    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        temporary: bool,
        where: str | None = None,
        wanted: str | None = None,
        got: str | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(message, where=where, wanted=wanted, got=got, next_step=next_step)
        self.temporary = temporary
