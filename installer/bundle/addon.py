"""An add-on in the index: a Helm chart, the values it is installed with, and how to see that it works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from installer.bundle.digest import Digest
from installer.bundle.hostneeds import HostNeeds
from installer.bundle.roles import ROLES, read_roles
from installer.bundle.source import Source
from installer.bundle.strict import Fields
from installer.bundle.values import problems

KINDS = ("cni", "addon")
TOLD_BY = ("helm", "catalogue")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?")
_OBJECT = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_WORKLOAD = r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/)?(daemonset|deployment|statefulset)"
_READY = re.compile(rf"({_WORKLOAD}|crd)/{_OBJECT}")


@dataclass(frozen=True)
class BundledAddon:
    """An add-on. A ``cni`` is the cluster's pod network, of which a bundle has at most one.

    ``chart`` is the blob of the packed chart; ``values`` may hold placeholders (see :mod:`.values`). ``plugins`` are
    the CNI plugins the add-on itself calls. ``ready`` names what shows that it works, as ``daemonset/NAME`` (in
    ``namespace``), ``NAMESPACE/daemonset/NAME`` or ``crd/NAME``. ``images_told_by``: ``helm`` rendered the chart when
    the bundle was made, or the images are what the ``catalogue`` lists. ``notes`` are what an operator should know
    before it is installed, a line each. ``needs`` names add-ons that stand before it in the bundle and are installed
    first, ``host`` is what a node of ``roles``, on which its pods run, must have.
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
    needs: tuple[str, ...] = ()
    host: HostNeeds = field(default_factory=HostNeeds)
    roles: tuple[str, ...] = ROLES

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
            read_needs(fields),
            HostNeeds.read(fields.mapping("host", optional=True)),
            read_roles(fields) if "roles" in fields else ROLES,
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
        further = {
            "notes": list(self.notes),
            "needs": list(self.needs),
            "host": self.host.to_dict(),
            "roles": [] if self.roles == ROLES else list(self.roles),
        }
        return out | {key: value for key, value in further.items() if value}


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
    """The field ``ready``: at least one thing that shows that the add-on works."""
    ready = tuple(fields.texts("ready"))
    for number, shown in enumerate(ready):
        if not _READY.fullmatch(shown):
            wanted = "[NAMESPACE/]daemonset/NAME, the same of a deployment or statefulset, or crd/NAME"
            fields.note(f"ready[{number}]", f"wanted {wanted}, got {shown[:200]!r}")
    if not ready:
        fields.note("ready", "wanted at least one workload")
    return ready


def read_needs(fields: Fields) -> tuple[str, ...]:
    """The field ``needs``, where it is there: names of other add-ons."""
    needs = tuple(fields.texts("needs", []))
    for number, name in enumerate(needs):
        if not _NAME.fullmatch(name):
            fields.note(f"needs[{number}]", f"wanted the name of an add-on, got {name[:100]!r}")
    return needs


def order_problems(addons: tuple[BundledAddon, ...]) -> Iterator[str]:
    """Add-ons are installed in their order: each once, at most one pod network, what one needs before it."""
    if sum(addon.kind == "cni" for addon in addons) > 1:
        yield "addons: more than one pod network"
    before: set[str] = set()
    for addon in addons:
        if addon.name in before:
            yield f"addons: {addon.name} is listed twice"
        yield from (
            f"addons: {addon.name} needs {name}, which is not before it" for name in addon.needs if name not in before
        )
        before.add(addon.name)
