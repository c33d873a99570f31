"""Placing the bundle's binaries, each proven by the digest of what lies on the disk."""

from __future__ import annotations

import json
from dataclasses import dataclass

from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.index import BundledFile
from installer.bundle.place import files_in
from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.steps.content import BundleContent
from installer.wording import count

RECORD_DIR = "/var/lib/airgap-bundle/placed"
"""Per archive: which blob it was and the digest of every file taken out of it, as the index knows only the archive."""
_SCHEMA = 1


@dataclass(frozen=True)
class PlaceFile:
    """The files of one release file (``kubeadm``, ``containerd``…) on their target paths."""

    bundle: BundleContent
    item: BundledFile

    @property
    def id(self) -> str:
        """``files/<component>``."""
        return f"files/{self.item.component}"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{self.item.component} {self.item.version} in place"

    def check(self, view: NodeView) -> CheckResult:
        """Every target has the bytes of this release and its mode; the bytes are hashed each time."""
        wanted = self._wanted(view)
        if wanted is None:
            return CheckResult(False, "not placed yet", (self._change(),))
        for path, digest in wanted.items():
            found = view.stat(path)
            if found is None or found.kind != "file" or found.mode & 0o7777 != self.item.placement.mode:
                return CheckResult(False, f"{path} is missing or has another mode", (self._change(),))
            if view.digest(path) != digest:
                return CheckResult(False, f"{path} has other bytes", (self._change(),))
        return CheckResult(True, f"{self.item.version}, {count(len(wanted), 'file')}")

    def apply(self, node: Node) -> str:
        """Streams every file from the bundle to its place."""
        placed: dict[str, Digest] = {}
        blob = self.bundle.index.descriptors()[self.item.blob]
        for file in files_in(self.bundle.chunks(self.item.blob), self.item, blob, self._where):
            placed[file.target] = node.place(file.target, file.chunks, mode=file.mode, digest=file.digest)
        if self.item.placement.archive is not None:
            node.write_file(self._record_path, self._record(placed))
        return f"{self.item.version}, {count(len(placed), 'file')}"

    @property
    def _where(self) -> str:
        return f"{self.item.component} {self.item.version}, {self.item.blob}"

    @property
    def _record_path(self) -> str:
        return f"{RECORD_DIR}/{self.item.component}.json"

    def _change(self) -> str:
        placement = self.item.placement
        return f"place {placement.target or ', '.join(sorted(placement.members.values()))}"

    def _record(self, placed: dict[str, Digest]) -> bytes:
        record = {"schema": _SCHEMA, "blob": str(self.item.blob), "files": {path: str(placed[path]) for path in placed}}
        return (json.dumps(record, indent=2, sort_keys=True) + "\n").encode()

    def _wanted(self, view: NodeView) -> dict[str, Digest] | None:
        """The digest wanted of each target; ``None`` for an archive this node has no record of."""
        if self.item.placement.target is not None:
            return {self.item.placement.target: self.item.blob}
        text = view.read_text(self._record_path)
        try:
            record = json.loads(text or "null")
            if record and record["schema"] == _SCHEMA and record["blob"] == self.item.blob and record["files"]:
                return {path: Digest(digest) for path, digest in record["files"].items()}
        except (ValueError, TypeError, KeyError, AttributeError, FormatError):
            return None  # a record that cannot be read proves nothing: the files are placed again
        return None
