"""What a catalogue says of an add-on, as frozen values: where its chart comes from, what it needs, its versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bundler.errors import FormatError
from bundler.versions import VersionRange
from installer.bundle.digest import Digest
from installer.bundle.hostneeds import HostNeeds
from installer.bundle.reference import Reference
from installer.bundle.source import Source

FOLDERS = {"cni": "cni", "addon": "addons"}
"""Where a catalogue has the documents and the image lists of each kind of add-on."""
NOUNS = {"cni": "pod network", "addon": "add-on"}
_NEED = re.compile(r"(?P<name>[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?)(@(?P<version>[^@\s]+))?")


@dataclass(frozen=True)
class Chart:
    """A chart's own name (that in its ``Chart.yaml``) and the URL of its archive, in which ``{version}`` stands."""

    name: str
    url: str


@dataclass(frozen=True)
class Objects:
    """A Helm template that the builder packs into a chart itself; ``source`` is the document that has it."""

    text: str
    source: Source


@dataclass(frozen=True)
class Need:
    """Another add-on that must be there; ``version`` is ``None`` where any is good."""

    name: str
    version: str | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> Need:
        """What ``NAME[@VERSION]`` means; raises :class:`FormatError`."""
        found = _NEED.fullmatch(text)
        if not found:
            raise FormatError("not an add-on", wanted="NAME or NAME@VERSION", got=text[:100])
        return cls(found["name"], found["version"])


@dataclass(frozen=True)
class AddonVersion:
    """One version of an add-on. ``source`` is its chart's; ``digest`` is ``None`` where nobody publishes a checksum.

    ``images`` are those the add-on may pull, told by ``catalogue``; ``None`` where nobody looked. ``chart`` and
    ``needs`` are ``None`` where they are the add-on's own.
    """

    version: str
    source: Source
    digest: Digest | None
    images: tuple[Reference, ...] | None
    catalogue: str
    chart: Chart | None = None
    needs: tuple[Need, ...] | None = None


@dataclass(frozen=True)
class Addon:
    """An add-on that is installed as a Helm chart: what holds for all its versions, and the versions by name.

    Most fields are those of ``installer.bundle.addon.BundledAddon``. Either ``chart`` says where the chart is, or the
    builder makes it of ``objects``. ``kubernetes`` is where it works, anywhere if ``None``; ``roles`` are those whose
    nodes run its images, ``catalogue`` is the topmost one with a word in how it is installed.
    """

    name: str
    kind: str
    default: str
    chart: Chart | None
    objects: Objects | None
    needs: tuple[Need, ...]
    kubernetes: VersionRange | None
    namespace: str
    namespace_labels: dict[str, str]
    values: dict[str, Any]
    ready: tuple[str, ...]
    plugins: tuple[str, ...]
    roles: tuple[str, ...]
    host: HostNeeds
    notes: tuple[str, ...]
    versions: dict[str, AddonVersion]
    catalogue: str


@dataclass(frozen=True)
class RetiredAddon:
    """An add-on that is no longer to be had, and ``reason``: why, and what to ask for instead."""

    name: str
    kind: str
    reason: str
