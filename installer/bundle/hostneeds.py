"""What an add-on needs of the machines it runs on, and does not bring itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from installer.bundle.strict import Fields

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,99}\.(service|socket|mount|timer|target|path)")


@dataclass(frozen=True)
class HostNeeds:
    """What a machine must have before an add-on works on it: programs, kernel modules, units of systemd."""

    commands: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.commands or self.modules or self.units)

    def __or__(self, other: HostNeeds) -> HostNeeds:
        """What this and ``other`` need, each once."""
        pairs = ((self.commands, other.commands), (self.modules, other.modules), (self.units, other.units))
        return HostNeeds(*(tuple(dict.fromkeys((*ours, *theirs))) for ours, theirs in pairs))

    @classmethod
    def read(cls, fields: Fields) -> HostNeeds:
        """Needs from their mapping."""
        needs = cls(
            _words(fields, "commands", _WORD, "a program's name"),
            _words(fields, "modules", _WORD, "a kernel module's name"),
            _words(fields, "units", _UNIT, "a unit with its suffix, as iscsid.service"),
        )
        fields.finish()
        return needs

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        parts = {"commands": self.commands, "modules": self.modules, "units": self.units}
        return {key: list(names) for key, names in parts.items() if names}


def _words(fields: Fields, key: str, form: re.Pattern[str], wanted: str) -> tuple[str, ...]:
    words = tuple(fields.texts(key, []))
    for number, word in enumerate(words):
        if not form.fullmatch(word):
            fields.note(f"{key}[{number}]", f"wanted {wanted}, got {word[:100]!r}")
    return words
