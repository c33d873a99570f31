"""The catalogue: what can be built, with which checksums. Folders of YAML, read only where they are asked about.

The built-in catalogue is ``manifests/`` and ``image-lists/`` of the checkout, or their copies in the installed wheel.
A user's own folders are laid over it, in order. Such a folder has the same layout, any part of it::

    catalogue.yaml            schema: 1, and a name for messages (default: the folder's name)
    kubernetes/v1.30.yaml     components/containerd.yaml     cni/flannel.yaml     endpoint.yaml     runtime.yaml
    image-lists/kubernetes/v1.30.14.txt     image-lists/cni/flannel-v0.28.9.txt     image-lists/endpoint.txt

An entry there adds a version or replaces the entry below, and is marked with the folder's name and as the user's word:
its checksums are not upstream's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from bundler.addon_read import read_addon
from bundler.catalog_read import read_component, read_endpoint, read_minor, read_runtime
from bundler.catalog_types import BUILT_IN, Addon, Component, Layer, Minor, Release, ReleaseFile, RuntimeChoice
from bundler.errors import InputError
from bundler.imagelist import RequiredImage, parse_image_list
from bundler.versions import newest_first, parse_version
from bundler.yaml_document import open_document, read_document, read_text
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference

T = TypeVar("T")
SCHEMA = 1
_ASKED = re.compile(r"v?((?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*))(\.(?:0|[1-9][0-9]*))?")
_MINOR_FILE = re.compile(r"v([0-9]+\.[0-9]+)\.yaml")
_COMPONENT_FILE = re.compile(r"([a-z0-9][a-z0-9-]*)\.yaml")
_LIST_FILE = re.compile(r"v([0-9]+\.[0-9]+\.[0-9]+)\.txt")
_ADDON_LIST_FILE = re.compile(r"([a-z0-9][a-z0-9-]*-v?[0-9]+\.[0-9]+\.[0-9]+[a-z0-9.-]*)\.txt")
_OVERLAY_PARTS = {"catalogue.yaml", "kubernetes", "components", "cni", "endpoint.yaml", "runtime.yaml", "image-lists"}


@dataclass(frozen=True)
class Folder:
    """One catalogue on disk: its layer, and where its manifests and image lists are."""

    layer: Layer
    manifests: Path
    image_lists: Path

    def kubernetes(self) -> dict[str, Path]:
        """The documents of the Kubernetes minors, by minor."""
        return _named_files(self.manifests / "kubernetes", _MINOR_FILE)

    def components(self) -> dict[str, Path]:
        """The documents of the components, by name."""
        return _named_files(self.manifests / "components", _COMPONENT_FILE)

    def networks(self) -> dict[str, Path]:
        """The documents of the pod networks, by name."""
        return _named_files(self.manifests / "cni", _COMPONENT_FILE)

    def lists(self) -> dict[str, Path]:
        """The image lists of Kubernetes releases, by version."""
        return _named_files(self.image_lists / "kubernetes", _LIST_FILE)

    def network_lists(self) -> dict[str, Path]:
        """The image lists of pod networks, by name and version, as ``flannel-v0.28.9``."""
        return _named_files(self.image_lists / "cni", _ADDON_LIST_FILE)


@dataclass(frozen=True)
class Catalog:
    """The catalogues in order, the built-in one first. Documents are read when first asked about, then kept."""

    folders: tuple[Folder, ...]
    _kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def load(cls, overlays: Sequence[Path] = ()) -> Catalog:
        """The built-in catalogue with ``overlays`` over it, in order; raises :class:`InputError` for a bad folder."""
        return cls((built_in_folder(), *(overlay_folder(path) for path in overlays)))

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
        found = self._layered(
            f"kubernetes {minor}", (folder.kubernetes().get(minor) for folder in self.folders), read_minor
        )
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
        return self._layered(
            f"component {name}", (folder.components().get(name) for folder in self.folders), read_component
        )

    def networks(self) -> tuple[str, ...]:
        """The names of the pod networks there are; reads no document."""
        return tuple(sorted({name for folder in self.folders for name in folder.networks()}))

    def network(self, name: str) -> Addon:
        """The pod network ``name``; raises :class:`InputError` naming those there are."""
        if name not in (known := self.networks()):
            raise InputError(
                "no such pod network", where=f"cni {name}", wanted=f"one of none, {', '.join(known)}", got=name
            )
        found = self._layered(f"cni {name}", (folder.networks().get(name) for folder in self.folders), read_addon)
        if (found.name, found.kind) != (name, "cni"):
            raise InputError(
                "a catalogue file holds another add-on than its name says",
                where=f"cni/{name}.yaml",
                wanted=f"name: {name}, kind: cni",
                got=f"name: {found.name}, kind: {found.kind}",
            )
        return found

    def runtime(self) -> RuntimeChoice:
        """The installer's own Python."""
        return self._layered("runtime", (folder.manifests / "runtime.yaml" for folder in self.folders), read_runtime)

    def endpoint_images(self) -> tuple[RequiredImage, ...]:
        """The images of the API's endpoint, which every bundle carries, by purpose."""
        paths = (folder.manifests / "endpoint.yaml" for folder in self.folders)
        found = self._layered("endpoint", paths, read_endpoint)
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

    def network_lists(self) -> tuple[str, ...]:
        """The pod networks' versions there is an image list for, as ``flannel-v0.28.9``."""
        return tuple(sorted({name for folder in self.folders for name in folder.network_lists()}))

    def network_list(self, name: str, version: str) -> tuple[Reference, ...] | None:
        """The image list of a pod network out of the topmost catalogue that has one, else ``None``."""
        return _topmost_list(folder.network_lists().get(f"{name}-{version}") for folder in self.folders)

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

    def _layered(self, key: str, documents: Iterable[Path | None], read: Callable[..., T]) -> T:
        """What the document of each folder says, each over the one below; kept under ``key`` for the next time."""
        if key not in self._kept:
            value: T | None = None
            for folder, path in zip(self.folders, documents, strict=True):
                if path and path.is_file():
                    value = read(read_document(path), where=str(path), layer=folder.layer, below=value)
            self._kept[key] = value
        found: T = self._kept[key]
        return found


def _topmost_list(paths: Iterable[Path | None]) -> tuple[Reference, ...] | None:
    path = next((path for path in reversed(list(paths)) if path), None)
    return parse_image_list(read_text(path), where=str(path)) if path else None


def _named_files(folder: Path, form: re.Pattern[str]) -> dict[str, Path]:
    """The files of ``folder`` by the name within their file name; raises :class:`InputError` for any other file.

    A file that nothing reads would be a version the user believes to have added.
    """
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if match := form.fullmatch(path.name):
            found[match[1]] = path
        elif not path.name.startswith((".", "README")):
            raise InputError(
                "the catalogue has a file that nothing reads",
                where=str(path),
                wanted=f"a name like {form.pattern}",
                got=path.name,
            )
    return found


def built_in_folder() -> Folder:
    """The built-in catalogue: of the checkout when the code runs from one, else of the installed wheel."""
    package = Path(__file__).resolve().parent
    for base in (package / "_data", package.parent):
        if (base / "manifests" / "catalogue.yaml").is_file():
            return Folder(BUILT_IN, base / "manifests", base / "image-lists")
    raise InputError("the built-in catalogue is missing", where=str(package), next_step="install the tool again")


def overlay_folder(path: Path) -> Folder:
    """A user's catalogue folder; raises :class:`InputError` for one that is not there, or with parts nothing reads."""
    if not path.is_dir():
        raise InputError("the catalogue folder is not there", where=f"--catalog {path}", wanted="a folder")
    entries = {entry.name for entry in path.iterdir() if not entry.name.startswith((".", "README"))}
    if not entries or entries - _OVERLAY_PARTS:
        raise InputError(
            "the catalogue folder has parts that nothing reads" if entries else "the catalogue folder is empty",
            where=f"--catalog {path}",
            wanted=f"only {', '.join(sorted(_OVERLAY_PARTS))}",
            got=", ".join(sorted(entries - _OVERLAY_PARTS)) or "nothing",
        )
    return Folder(Layer(_overlay_name(path), "user"), path, path / "image-lists")


def _overlay_name(path: Path) -> str:
    about = path / "catalogue.yaml"
    name: str = path.resolve().name
    if about.is_file():
        fields = open_document(read_document(about), SCHEMA, where=str(about))
        name = fields.text("name", name)
        fields.finish()
        fields.problems.check("the catalogue cannot be used", InputError, where=str(about))
    if name == BUILT_IN.name:
        raise InputError("this name is the built-in catalogue's", where=str(about), wanted="another name", got=name)
    return name


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
