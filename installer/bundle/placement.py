"""Where a release file may land on a node. The installer runs as root: nothing else in a bundle names a path."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from installer.bundle.errors import FormatError
from installer.bundle.strict import Fields

ROOTS = ("/opt/cni/bin", "/usr/local/bin", "/usr/local/sbin")
"""The only folders a bundle's files are placed in."""
_MODE = re.compile(r"0[0-7][0145][0145]")
FILE_NAME = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,199}")
"""The names that files get there: visible, and with nothing in them that a terminal or a shell would act on."""


@dataclass(frozen=True)
class Placement:
    """Where a file lands on a node; :class:`FormatError` for a path that is not under one of :data:`ROOTS`.

    A plain file: ``target`` is its path. An archive (``archive`` is ``tar+gzip``): ``members`` maps each archive
    member to place to its target path; a key ending in ``/`` takes every file directly below that folder into the
    target folder, and the key ``/`` alone every file at the archive's top. Member names are compared without a
    leading ``./``, so keys never have one. ``mode`` is the octal mode of what is placed.
    """

    mode: int
    target: str | None = None
    archive: str | None = None
    members: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.target is not None:
            _demand_target(self.target, is_folder=False)
        for key, path in self.members.items():
            _demand_target(path, is_folder=key.endswith("/"))

    @property
    def targets(self) -> tuple[str, ...]:
        """Every path that something of it is placed at: files, and folders."""
        return (self.target,) if self.target is not None else tuple(self.members.values())

    def folders(self) -> frozenset[str]:
        """The folders that something of it lands in."""
        paths = {self.target: self.target} if self.target is not None else self.members
        return frozenset(
            path.rstrip("/") if key.endswith("/") else path.rpartition("/")[0] for key, path in paths.items()
        )

    @classmethod
    def read(cls, fields: Fields) -> Placement:
        """A placement from its mapping."""
        mode = fields.text("mode")
        if not _MODE.fullmatch(mode):
            wanted = "four octal digits without setuid, setgid or sticky bits, writable by nobody but root"
            fields.note("mode", f"wanted {wanted}, got {mode[:100]!r}")
            mode = "0000"
        archive = fields.choice("archive", ("tar+gzip",), None)
        members = fields.text_map("members")
        target = fields.text("target", None)
        if (target is None) == (archive is None) or bool(members) != bool(archive):
            fields.note("", "wanted either a target, or an archive with members")
        fields.finish()
        try:
            return cls(int(mode, 8), target, archive, members)
        except FormatError as error:
            fields.note("", f"{error.message}: wanted {error.wanted}, got {str(error.got)[:200]!r}")
            return cls(0)

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        out: dict[str, Any] = {"mode": f"{self.mode:04o}"}
        if self.target is not None:
            out["target"] = self.target
        if self.archive is not None:
            out |= {"archive": self.archive, "members": dict(sorted(self.members.items()))}
        return out


def _demand_target(path: str, *, is_folder: bool) -> None:
    folder, _, name = (f"{path.rstrip('/')}/x" if is_folder else path).rpartition("/")
    root = next((root for root in ROOTS if f"{folder}/".startswith(f"{root}/")), None)
    below = [] if root is None else [part for part in folder[len(root) :].split("/") if part]
    if root is None or not all(FILE_NAME.fullmatch(part) for part in (*below, name)):
        raise FormatError(
            "the bundle would place a file where none belongs",
            wanted=f"a path under {', '.join(ROOTS)}",
            got=path,
            next_step="build the media set again with a catalogue that keeps to these folders",
        )
