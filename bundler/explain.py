"""What a bundle holds, as a person asks about it: its items, what takes the space, where it came from, its settings.

Pure over :class:`Contents`. Bytes are those of the blobs: each is counted once, and what several items need is a share
of its own, so that the shares add up to the whole.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from bundler.contents import Contents
from installer.bundle.addon import BundledAddon
from installer.bundle.digest import Digest
from installer.bundle.source import Source

GROUPS = {
    "programs": "Kubernetes programs",
    "tools": "Container runtime and tools",
    "kubernetes": "Kubernetes images",
    "endpoint": "API endpoint",
    "network": "Pod network",
    "addons": "Add-ons",
    "shared": "Needed by several",
    "installer": "Installer",
}
"""What an item is for; ``shared`` are bytes that more than one item needs."""
_PROGRAMS = ("kubeadm", "kubectl", "kubelet")
_ENDPOINT = ("haproxy", "kube-vip")
_HERE = Source("this project", "user", "none")


@dataclass(frozen=True)
class Item:
    """One thing that a person would name. ``kind`` is ``file``, ``image``, ``chart`` or ``installer``.

    ``size_bytes`` is of all its ``blobs``, ``alone_bytes`` of those that nothing else needs. ``platform`` is empty
    where it holds for all of the bundle's.
    """

    kind: str
    group: str
    name: str
    version: str
    platform: str
    roles: tuple[str, ...]
    digest: Digest
    size_bytes: int
    alone_bytes: int
    source: Source
    license: str | None
    blobs: frozenset[Digest]

    @property
    def title(self) -> str:
        """Its name, with its platform where it has one."""
        return f"{self.name} {self.platform}".strip()


@dataclass(frozen=True)
class Share:
    """The ``size_bytes`` of one of :data:`GROUPS`, and of how many items."""

    group: str
    items: int
    size_bytes: int


@dataclass(frozen=True)
class Origin:
    """A ``place`` that bytes came from (a host, or what is not on a network), whose word their digests are."""

    place: str
    trust: str
    catalogue: str
    items: int
    size_bytes: int


@dataclass(frozen=True)
class Report:
    """All that is told of one bundle. ``settings`` are what decides the files that an install writes, by name.

    ``unpacked_bytes`` are those of the blobs, once their archives are unpacked; a lock does not know them.
    """

    contents: Contents
    items: tuple[Item, ...]
    shares: tuple[Share, ...]
    origins: tuple[Origin, ...]
    settings: Mapping[str, str]
    size_bytes: int
    unpacked_bytes: int | None

    @classmethod
    def of(cls, contents: Contents) -> Report:
        """What ``contents`` says, worked out."""
        blobs = contents.blobs.values()
        items = tuple(_items(contents))
        installer_bytes = sum(item.size_bytes for item in items if item.kind == "installer")
        size_bytes = sum(blob.size_bytes for blob in blobs) + installer_bytes
        return cls(
            contents,
            items,
            tuple(_shares(items, size_bytes)),
            tuple(_origins(items, contents)),
            dict(_settings(contents)),
            size_bytes,
            None if contents.kind == "lock" else sum(blob.unpacked_size_bytes or blob.size_bytes for blob in blobs),
        )


def _items(contents: Contents) -> Iterator[Item]:
    named = list(_named(contents))
    uses = Counter(digest for item in named for digest in item.blobs)
    sizes = {digest: blob.size_bytes for digest, blob in contents.blobs.items()}
    for item in named:
        size_bytes = sum(sizes[digest] for digest in item.blobs)
        alone_bytes = sum(sizes[digest] for digest in item.blobs if uses[digest] == 1)
        yield replace(item, size_bytes=size_bytes, alone_bytes=alone_bytes)
    yield from _installers(contents)


def _named(contents: Contents) -> Iterator[Item]:
    """Everything that has a name and blobs, without its sizes."""
    groups = {addon.name: "network" if addon.kind == "cni" else "addons" for addon in contents.addons}
    for file in contents.files:
        group, told = "programs" if file.component in _PROGRAMS else "tools", contents.licenses.components
        yield Item("file", group, file.component, file.version, str(file.platform), file.roles, file.blob, 0, 0,
                   file.source, told.get(file.component), frozenset({file.blob}))  # fmt: skip
    for image in contents.images:
        group = groups.get(image.purpose, "endpoint" if image.purpose in _ENDPOINT else "kubernetes")
        name, tag = image.reference.name, image.reference.tag or image.blob.short
        yield Item("image", group, name, tag, "", image.roles, image.blob, 0, 0,
                   image.source, contents.licenses.images.get(name), frozenset(contents.held(image)))  # fmt: skip
    for addon in contents.addons:
        yield Item("chart", groups[addon.name], addon.name, addon.version, "", addon.roles, addon.chart, 0, 0,
                   addon.source, contents.licenses.charts.get(addon.name), frozenset({addon.chart}))  # fmt: skip


def _installers(contents: Contents) -> Iterator[Item]:
    """Of a media set the file ``install``; of a lock the interpreters that go into it."""
    both, none = ("cp", "worker"), frozenset[Digest]()
    if install := contents.install:
        size_bytes = install.size_bytes
        yield Item("installer", "installer", "install", "", "", both, install.digest, size_bytes, size_bytes, _HERE,
                   None, none)  # fmt: skip
    for runtime in contents.runtimes if contents.kind == "lock" else ():
        source = Source(runtime.origin, runtime.trust, runtime.catalogue or "none")
        told, size_bytes = contents.licenses.runtime.get("cpython"), runtime.size_bytes
        yield Item("installer", "installer", "CPython", runtime.python, str(runtime.platform), both, runtime.digest,
                   size_bytes, size_bytes, source, told, none)  # fmt: skip


def _shares(items: Iterable[Item], size_bytes: int) -> Iterator[Share]:
    found = list(items)
    alone_bytes = sum(item.alone_bytes for item in found)
    for group in GROUPS:
        members = [item for item in found if item.group == group]
        if members:
            yield Share(group, len(members), sum(item.alone_bytes for item in members))
        elif group == "shared" and size_bytes > alone_bytes:
            several = [item for item in found if item.size_bytes > item.alone_bytes]
            yield Share(group, len(several), size_bytes - alone_bytes)


def _origins(items: Iterable[Item], contents: Contents) -> Iterator[Origin]:
    """By place and trust, the most bytes first; a blob that several items need counts for the first of them."""
    sizes: Counter[tuple[str, str, str]] = Counter()
    counts: Counter[tuple[str, str, str]] = Counter()
    seen: set[Digest] = set()
    for item in items:
        key = _place(item), item.source.trust, item.source.catalogue
        counts[key] += 1
        own_bytes = sum(contents.blobs[digest].size_bytes for digest in item.blobs - seen)
        sizes[key] += own_bytes if item.kind != "installer" else item.size_bytes
        seen |= item.blobs
    for key in sorted(counts, key=lambda key: (-sizes[key], key)):
        yield Origin(*key, counts[key], sizes[key])


def _place(item: Item) -> str:
    if item.kind == "image":
        return item.source.origin.partition("/")[0]
    try:
        host = urlsplit(item.source.origin).netloc
    except ValueError:
        host = ""
    return host or item.source.origin


def _settings(contents: Contents) -> Iterator[tuple[str, str]]:
    """What of an install's files the bundle decides; the rest follows from ``cluster.yaml`` and the node."""
    yield "kubernetes", contents.kubernetes
    yield "platforms", ", ".join(contents.platforms)
    yield "pod network", contents.cni
    yield "pause image", str(contents.pause.reference)
    yield "layers", "dense" if contents.is_dense else "registry"
    yield "add-ons, in order", ", ".join(addon.name for addon in contents.addons) or "none"
    for item in contents.files:
        name = f"{item.component} {item.platform}"
        yield f"{name}, roles", ", ".join(item.roles)
        yield f"{name}, mode", f"{item.placement.mode:04o}"
        for member, target in sorted(item.placement.members.items()) or [("", item.placement.target or "")]:
            yield f"{name}, {member or 'file'}", target
    for image in contents.images:
        yield f"{image.reference.name}, roles", ", ".join(image.roles)
    for addon in contents.addons:
        yield from _settings_of(addon)


def _settings_of(addon: BundledAddon) -> Iterator[tuple[str, str]]:
    told = addon.to_dict()
    for key in ("chart", "images_told_by", "name", "source", "version"):
        told.pop(key)
    for path, value in _flat(told):
        yield f"{addon.name}, {path}", value


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each value of nested mappings by its path; a list is one value. What is not a plain word is JSON, in ASCII."""
    if isinstance(value, dict) and value:
        for key, inner in sorted(value.items()):
            plain = key if key.isprintable() and "." not in key else json.dumps(key)
            yield from _flat(inner, f"{path}.{plain}" if path else plain)
    elif isinstance(value, str) and value.isprintable() and value:
        yield path, value
    else:
        yield path, json.dumps(value, sort_keys=True)
