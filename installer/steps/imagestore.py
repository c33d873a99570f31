"""containerd's image store as ``ctr`` shows it: names, the digest each leads to, pins, and what is whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from installer.errors import StepError
from installer.foundcontainerd import DEFAULT_ROOT
from installer.node import Node, NodeView
from installer.render.containerd import DEFAULT_SNAPSHOTTER, major_minor

CTR = "/usr/local/bin/ctr"
NAMESPACE = "k8s.io"
"""The namespace the kubelet's images live in; an image in any other is not seen."""
PIN_LABEL = "io.cri-containerd.pinned=pinned"
"""Keeps an image from the kubelet's garbage collection."""
_LABEL_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class StoredImage:
    """A name in the image store; ``whole`` says that its content is complete and unpacked for this platform."""

    name: str
    digest: str
    pinned: bool
    whole: bool


@dataclass(frozen=True)
class ImageStore:
    """The image store of the running containerd of ``version`` at ``socket``, which unpacks for ``snapshotter`` and
    keeps all below ``root``.
    """

    socket: str
    version: str = ""
    snapshotter: str = DEFAULT_SNAPSHOTTER
    ctr: str = CTR
    root: str = DEFAULT_ROOT

    @property
    def _ctr(self) -> tuple[str, ...]:
        return (self.ctr, "-a", self.socket, "-n", NAMESPACE)

    @property
    def _unpacking(self) -> tuple[str, ...]:
        return () if self.snapshotter == DEFAULT_SNAPSHOTTER else ("--snapshotter", self.snapshotter)

    def read(self, view: NodeView) -> dict[str, StoredImage] | None:
        """Every name in the store, or ``None`` when containerd does not answer."""
        listed = view.query([*self._ctr, "images", "ls"])
        checked = view.query([*self._ctr, "images", "check", *self._unpacking])
        if not listed.ok or not checked.ok:
            return None
        whole = _whole_names(checked.stdout)
        rows = (line.split() for line in listed.stdout.splitlines()[1:])
        return {
            row[0]: StoredImage(row[0], row[2], PIN_LABEL in row[-1].split(","), row[0] in whole)
            for row in rows
            if len(row) >= 4
        }

    @property
    def pins_what_it_imports(self) -> bool:
        """Whether an import can label what it brings; before 2.0 that takes a ``ctr`` for each name."""
        return bool(self.version) and major_minor(self.version) >= (2, 0)

    def import_pinned(self, node: Node, tar: Iterable[bytes], names: Iterable[str], *, timeout_seconds: float) -> None:
        """Streams an OCI layout with ``names`` into the store and pins each: a fresh name has no pin to ask for.

        Never ``--all-platforms``: the blobs of others are not there.
        From 2.0 on the daemon itself unpacks, and only for the snapshotter its own transfer service is configured for;
        ``--local`` (1.7 and newer) has ``ctr`` unpack for another, as 1.6 always does.
        """
        flags = self._unpacking
        if flags and major_minor(self.version) >= (1, 7):
            flags = (*flags, "--local")
        if self.pins_what_it_imports:
            flags = (*flags, "--label", PIN_LABEL)
        node.run([*self._ctr, "images", "import", *flags, "-"], stdin=tar, timeout_seconds=timeout_seconds)
        for name in () if self.pins_what_it_imports else names:
            self.pin(node, name)

    def pin(self, node: Node, name: str) -> None:
        """Labels a name so that the kubelet keeps its image."""
        node.run([*self._ctr, "images", "label", name, PIN_LABEL], timeout_seconds=_LABEL_TIMEOUT_SECONDS)

    def unpin(self, node: Node, name: str) -> None:
        """Takes the pin off a name; an empty value removes a label."""
        key = PIN_LABEL.partition("=")[0]
        node.run([*self._ctr, "images", "label", name, f"{key}="], timeout_seconds=_LABEL_TIMEOUT_SECONDS)

    def remove(self, node: Node, name: str) -> None:
        """Removes a name; content that no other name leads to goes with it."""
        node.run([*self._ctr, "images", "rm", name], timeout_seconds=_LABEL_TIMEOUT_SECONDS)

    def demand(self, view: NodeView) -> dict[str, StoredImage]:
        """The store, or :class:`StepError` when containerd does not answer."""
        stored = self.read(view)
        if stored is None:
            raise StepError(
                "containerd does not answer",
                where=" ".join((*self._ctr, "images", "ls")),
                next_step="look at  journalctl -u containerd",
            )
        return stored


def _whole_names(table: str) -> frozenset[str]:
    """Names whose row of ``ctr images check`` says complete and unpacked."""
    rows = (line.split() for line in table.splitlines()[1:])
    return frozenset(row[0] for row in rows if len(row) >= 5 and row[3] == "complete" and row[-1] == "true")
