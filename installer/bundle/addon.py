"""An add-on in the index: a Helm chart, the values it is installed with, and how to see that it works."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from installer.bundle.digest import Digest
from installer.bundle.source import Source
from installer.bundle.strict import Fields
from installer.bundle.values import problems

KINDS = ("cni", "addon")
TOLD_BY = ("helm", "catalogue")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?")
_WORKLOAD = re.compile(r"(daemonset|deployment|statefulset)/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class BundledAddon:
    """An add-on. A ``cni`` is the cluster's pod network, of which a bundle has at most one.

    ``chart`` is the blob of the packed chart; ``values`` may hold placeholders (see :mod:`.values`). ``plugins`` are
    the CNI plugins the add-on itself calls. ``ready`` names the workloads in ``namespace`` that show that it works, as
    ``daemonset/NAME``. ``images_told_by``: ``helm`` rendered the chart when the bundle was made, or the images are
    what the ``catalogue`` lists. ``notes`` are what an operator should know before it is installed, a line each.
    """

    name: str
    version: str
    kind: str
    chart: Digest
    namespace: str
    values: dict[str, Any]
    ready: tuple[str, ...]
    images_told_by: str
    source: Source
    namespace_labels: dict[str, str] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, fields: Fields) -> BundledAddon:
        """An add-on from its mapping."""
        addon = cls(
            read_name(fields, "name"),
            fields.text("version"),
            fields.choice("kind", KINDS),
            fields.parsed("chart", Digest),
            read_name(fields, "namespace"),
            read_values(fields),
            read_ready(fields),
            fields.choice("images_told_by", TOLD_BY),
            Source.read(fields.mapping("source")),
            fields.text_map("namespace_labels"),
            tuple(fields.texts("plugins")),
            tuple(fields.texts("notes", [])),
        )
        fields.finish()
        return addon

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        out: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "kind": self.kind,
            "chart": str(self.chart),
            "namespace": self.namespace,
            "namespace_labels": dict(sorted(self.namespace_labels.items())),
            "values": self.values,
            "ready": list(self.ready),
            "plugins": list(self.plugins),
            "images_told_by": self.images_told_by,
            "source": self.source.to_dict(),
        }
        return out | {"notes": list(self.notes)} if self.notes else out


def read_name(fields: Fields, key: str) -> str:
    """A field that names something of Kubernetes (and of Helm: at most 53 characters)."""
    name: str = fields.text(key)
    if name and not _NAME.fullmatch(name):
        fields.note(key, f"wanted at most 53 lower-case letters, digits and '-', got {name[:100]!r}")
    return name


def read_values(fields: Fields) -> dict[str, Any]:
    """The field ``values``: what Helm is given, checked for placeholders that nobody fills."""
    values = fields.raw("values", {})
    if not isinstance(values, dict):
        fields.note("values", "wanted a mapping")
        return {}
    for problem in problems(values):
        fields.note("", problem)
    return values


def read_ready(fields: Fields) -> tuple[str, ...]:
    """The field ``ready``: at least one workload."""
    ready = tuple(fields.texts("ready"))
    for number, workload in enumerate(ready):
        if not isinstance(workload, str) or not _WORKLOAD.fullmatch(workload):
            fields.note(f"ready[{number}]", f"wanted daemonset/, deployment/ or statefulset/NAME, got {workload!r}")
    if not ready:
        fields.note("ready", "wanted at least one workload")
    return ready
