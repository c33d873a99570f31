"""The catalogue: what can be built, with which checksums. Folders of YAML, read only where they are asked about.

The built-in catalogue is ``manifests/`` and ``image-lists/`` of the checkout, or their copies in the installed wheel.
A user's own folders are laid over it, in order. Such a folder has the same layout, any part of it::

    catalogue.yaml            schema: 1, and a name for messages (default: the folder's name)
    kubernetes/v1.30.yaml     components/containerd.yaml     endpoint.yaml     runtime.yaml
    licenses.yaml
    cni/flannel.yaml          addons/metrics-server.yaml
    image-lists/kubernetes/v1.30.14.txt     image-lists/cni/flannel-v0.28.9.txt     image-lists/endpoint.txt

An entry there adds a version or replaces the entry below, and is marked with the folder's name and as the user's word:
its checksums are not upstream's. A single add-on's document can be laid over all of them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from bundler.addon_read import read_addon
from bundler.addon_types import FOLDERS, NOUNS, Addon, RetiredAddon
from bundler.catalog_folders import AddonFile, Folder, addon_file, built_in_folder, overlay_folder
from bundler.catalog_read import read_component, read_endpoint, read_minor, read_runtime
from bundler.catalog_types import Component, Layer, Minor, Release, ReleaseFile, RuntimeChoice
from bundler.errors import InputError
from bundler.imagelist import RequiredImage, parse_image_list
from bundler.licenses import Licenses, read_licenses
from bundler.versions import newest_first, parse_version
from bundler.yaml_document import open_document, read_document, read_text
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference

T = TypeVar("T")
SCHEMA = 1
_ASKED = re.compile(r"v?((?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*))(\.(?:0|[1-9][0-9]*))?")


@dataclass(frozen=True)
class Catalog:
    """The catalogues in order, the built-in one first. Documents are read when first asked about, then kept."""

    folders: tuple[Folder, ...]
    addon_files: tuple[AddonFile, ...] = ()
    _kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def load(cls, overlays: Sequence[Path] = (), addon_files: Sequence[Path] = ()) -> Catalog:
        """The built-in catalogue with ``overlays`` and then ``addon_files`` over it, in order.

        Raises :class:`InputError` for a folder or a file that is none of a catalogue.
        """
        folders = cls((built_in_folder(), *(overlay_folder(path) for path in overlays)))
        return cls(folders.folders, tuple(folders._placed(addon_file(path)) for path in addon_files))

    def _placed(self, file: AddonFile) -> AddonFile:
        """``file`` with the kind of the add-on that it is laid over, where it does not give one."""
        kind = file.kind or self.kind_of(file.name)
        if kind is None:
            got = f"kind: missing, wanted one of {', '.join(FOLDERS)}"
            raise InputError("the catalogue cannot be used", where=str(file.path), got=got)
        return replace(file, kind=kind)

    @property
    def date(self) -> str:
        """The day the built-in catalogue was last completed, as ``2026-11-21``."""
        path = self.folders[0].manifests / "catalogue.yaml"
        fields = open_document(read_document(path), SCHEMA, where=str(path))
        text: str = fields.text("date")
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            fields.note("date", f"wanted a date like 2026-11-21, got {text!r}")
        fields.problems.check("the catalogue cannot be used", InputError, where=str(path))
        return text

    @property
    def created_seconds(self) -> int:
        """Midnight UTC of :attr:`date`: the time a bundle carries when ``SOURCE_DATE_EPOCH`` does not say another."""
        return int(datetime.fromisoformat(self.date).replace(tzinfo=UTC).timestamp())

    @property
    def mirrors_path(self) -> Path:
        """The file of the built-in mirror profiles."""
        return self.folders[0].manifests / "mirrors.yaml"

    def overlay_names(self) -> tuple[str, ...]:
        """The names of the user's own catalogues, in order."""
        return tuple(folder.layer.name for folder in self.folders[1:])

    def minors(self) -> tuple[str, ...]:
        """The Kubernetes minors there are, oldest first; reads no document."""
        return tuple(
            sorted(
                {minor for folder in self.folders for minor in folder.kubernetes()},
                key=lambda minor: parse_version(f"{minor}.0"),
            )
        )

    def minor(self, minor: str) -> Minor:
        """The Kubernetes minor ``1.30``; raises :class:`InputError` naming those there are."""
        if minor not in (known := self.minors()):
            raise InputError(
                f"there is no Kubernetes {minor} in the catalogue",
                where=f"version {minor}",
                wanted=f"one of {', '.join(known)}",
                got=minor,
                next_step="lay a folder with this version over the catalogue: --catalog DIR",
            )
        documents = self._documents(lambda folder: folder.kubernetes().get(minor))
        found = self._layered(f"kubernetes {minor}", documents, read_minor)
        if found.minor != minor:
            raise InputError(
                "a catalogue file holds another version than its name says",
                where=f"kubernetes/v{minor}.yaml",
                wanted=minor,
                got=found.minor,
            )
        return found

    def release(self, text: str) -> Release:
        """The release that ``1.30``, ``v1.30`` (the newest patch), ``1.30.14`` or ``v1.30.14`` means.

        Raises :class:`InputError` naming the minors, or the patches of the minor, that there are.
        """
        asked = _ASKED.fullmatch(text.strip())
        if not asked:
            raise InputError(
                "not a Kubernetes version",
                where=f"version {text}",
                wanted="a minor like 1.30, or a release like 1.30.14",
                got=text[:100],
            )
        releases = self.minor(asked[1]).releases
        if not asked[2] and releases:
            return releases[newest_first(releases)[0]]
        if (version := f"{asked[1]}{asked[2] or ''}") not in releases:
            raise InputError(
                f"there is no Kubernetes {version} in the catalogue",
                where=f"version {text}",
                wanted=_runs(releases) or "a minor with releases",
                got=version,
                next_step="lay a folder with this version over the catalogue: --catalog DIR",
            )
        return releases[version]

    def components(self) -> tuple[str, ...]:
        """The names of the components there are; reads no document."""
        return tuple(sorted({name for folder in self.folders for name in folder.components()}))

    def component(self, name: str) -> Component:
        """The component ``name``; raises :class:`InputError` naming those there are."""
        if name not in (known := self.components()):
            raise InputError(
                "no such component", where=f"component {name}", wanted=f"one of {', '.join(known)}", got=name
            )
        documents = self._documents(lambda folder: folder.components().get(name))
        return self._layered(f"component {name}", documents, read_component)

    def addons(self, kind: str) -> tuple[str, ...]:
        """The names of the add-ons of a kind, the retired ones too; reads no document."""
        named = {file.name for file in self.addon_files if file.kind == kind}
        return tuple(sorted(named.union(*(folder.addons(kind) for folder in self.folders))))

    def offered(self, kind: str) -> tuple[str, ...]:
        """The names of the add-ons of a kind that a build can carry."""
        return tuple(name for name in self.addons(kind) if isinstance(self.addon_document(kind, name), Addon))

    def kind_of(self, name: str) -> str | None:
        """The kind of the add-on ``name``, ``None`` where there is none; :class:`InputError` for one of two kinds."""
        kinds = [kind for kind in FOLDERS if name in self.addons(kind)]
        if len(kinds) > 1:
            raise InputError(
                "two add-ons have one name",
                where=f"add-on {name}",
                wanted="a document in one place",
                got=" and ".join(f"{FOLDERS[kind]}/{name}.yaml" for kind in kinds),
            )
        return kinds[0] if kinds else None

    def addon(self, kind: str, name: str, *, where: str = "") -> Addon:
        """The add-on ``name``; raises :class:`InputError` for one that is retired, with the reason."""
        found = self.addon_document(kind, name)
        if isinstance(found, RetiredAddon):
            told = textwrap.fill(found.reason, 70)
            raise InputError(f"{name} is not offered", where=where or f"{NOUNS[kind]} {name}", got=told)
        return found

    def addon_document(self, kind: str, name: str) -> Addon | RetiredAddon:
        """What the documents of an add-on that is there say of it."""
        documents = list(self._documents(lambda folder: folder.addons(kind).get(name)))
        documents += [(file.layer, file.path) for file in self.addon_files if (file.kind, file.name) == (kind, name)]
        found = self._layered(f"{kind} {name}", documents, read_addon)
        if (found.name, found.kind) != (name, kind):
            raise InputError(
                "a catalogue file holds another add-on than its name says",
                where=f"{FOLDERS[kind]}/{name}.yaml",
                wanted=f"name: {name}, kind: {kind}",
                got=f"name: {found.name}, kind: {found.kind}",
            )
        return found

    def runtime(self) -> RuntimeChoice:
        """The installer's own Python."""
        return self._layered("runtime", self._documents(lambda it: it.manifests / "runtime.yaml"), read_runtime)

    def licenses(self) -> Licenses:
        """The licences that projects publish their programs under, as far as they are known."""
        documents = self._documents(lambda it: it.manifests / "licenses.yaml")
        return self._layered("licenses", documents, read_licenses) or Licenses()

    def endpoint_images(self) -> tuple[RequiredImage, ...]:
        """The images of the API's endpoint, which every bundle carries, by purpose."""
        found = self._layered("endpoint", self._documents(lambda it: it.manifests / "endpoint.yaml"), read_endpoint)
        return tuple(found[purpose] for purpose in sorted(found))

    def endpoint_list(self) -> tuple[Reference, ...] | None:
        """The image list of the endpoint out of the topmost catalogue that has one, else ``None``."""
        paths = [folder.image_lists / "endpoint.txt" for folder in reversed(self.folders)]
        path = next((path for path in paths if path.is_file()), None)
        return parse_image_list(read_text(path), where=str(path)) if path else None

    def image_lists(self) -> tuple[str, ...]:
        """The Kubernetes versions there is an image list for."""
        return tuple(newest_first({version for folder in self.folders for version in folder.lists()}))

    def image_list(self, version: str) -> tuple[Reference, ...] | None:
        """The image list of a release out of the topmost catalogue that has one, else ``None``."""
        return _topmost_list(folder.lists().get(version) for folder in self.folders)

    def addon_lists(self, kind: str) -> tuple[str, ...]:
        """The versions of the add-ons of a kind there is an image list for, as ``flannel-v0.28.9``."""
        return tuple(sorted({name for folder in self.folders for name in folder.addon_lists(kind)}))

    def addon_list(self, kind: str, name: str, version: str) -> tuple[Reference, ...] | None:
        """The image list of an add-on out of the topmost catalogue that has one, else ``None``."""
        return _topmost_list(folder.addon_lists(kind).get(f"{name}-{version}") for folder in self.folders)

    def files(
        self, release: Release, platforms: Iterable[Platform], *, with_charts: bool = False
    ) -> Iterator[ReleaseFile]:
        """The files a bundle of ``release`` carries; raises :class:`InputError` naming what is missing."""
        wanted = tuple(platforms)
        sources = [(name, release.version, by_platform) for name, by_platform in release.files.items()]
        for choice in self.minor(release.minor).choices.values():
            component = self.component(choice.component)
            if component.carried == "always" or with_charts:
                version = component.versions.get(choice.default)
                sources.append((choice.component, choice.default, version.files if version else {}))
        for name, version_text, by_platform in sources:
            for platform in wanted:
                if platform not in by_platform:
                    raise InputError(
                        "the catalogue has no checksum for this",
                        where=f"{name} {version_text} for {platform}",
                        wanted="a SHA-256",
                        got="none",
                        next_step="bundle catalog check",
                    )
                yield by_platform[platform]

    def _documents(self, of: Callable[[Folder], Path | None]) -> Iterator[tuple[Layer, Path]]:
        """The documents that ``of`` picks out of each folder, where they are there."""
        for folder in self.folders:
            if (path := of(folder)) and path.exists():
                yield folder.layer, path

    def _layered(self, key: str, documents: Iterable[tuple[Layer, Path]], read: Callable[..., T]) -> T:
        """What the documents say, each over the one before; kept under ``key`` for the next time."""
        if key not in self._kept:
            value: T | None = None
            for layer, path in documents:
                value = read(read_document(path), where=str(path), layer=layer, below=value)
            self._kept[key] = value
        found: T = self._kept[key]
        return found


def _topmost_list(paths: Iterable[Path | None]) -> tuple[Reference, ...] | None:
    path = next((path for path in reversed(list(paths)) if path), None)
    return parse_image_list(read_text(path), where=str(path)) if path else None


def _runs(versions: Iterable[str]) -> str:
    """``1.30.0 to 1.30.14, 1.30.16``: the versions of one minor as runs without gaps."""
    ordered = [parse_version(version) for version in reversed(newest_first(versions))]
    runs: list[list[Any]] = []
    for version in ordered:
        if runs and version.patch == runs[-1][1].patch + 1:
            runs[-1][1] = version
        else:
            runs.append([version, version])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in runs)
