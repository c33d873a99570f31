"""Proof that a catalogue is whole: every entry complete, every default within its own range, lists and tags agree.

It checks the catalogues as laid over each other, so a user's folder is judged together with what it stands on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from bundler.addon_choice import ChosenAddon, demand_needs
from bundler.addon_types import FOLDERS, Addon
from bundler.catalog import Catalog
from bundler.catalog_types import (
    BINARIES,
    ENDPOINT_IMAGES,
    ComponentChoice,
    Minor,
    Release,
    ReleaseFile,
)
from bundler.errors import OperatorError
from bundler.imagelist import kubernetes_images
from installer.bundle.digest import Digest
from installer.bundle.platform import ARCHITECTURES, Platform
from installer.bundle.reference import Reference

COMPONENTS = ("cni-plugins", "containerd", "crictl", "etcdctl", "helm", "runc")
"""What every Kubernetes minor must choose a version of."""
WHEELS = ("click", "pyyaml", "tqdm", "zstandard")
"""What the installer imports beside the standard library."""
PLATFORMS = tuple(Platform(f"linux/{architecture}") for architecture in ARCHITECTURES)


@dataclass(frozen=True, order=True)
class Finding:
    """Something wrong with the catalogue: ``where`` in it, and ``what``."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def check(catalog: Catalog) -> list[Finding]:
    """Every finding, sorted; an empty list is the proof. A document that cannot be read is a finding, too."""
    findings: list[Finding] = []
    files: list[ReleaseFile] = []
    for part in (_kubernetes, _components, _addons, _endpoint, _runtime, _lists_without_owner):
        for item in part(catalog):
            if isinstance(item, Finding):
                findings.append(item)
            else:
                files.append(item)
    return sorted([*findings, *_same_digest(files)])


def _kubernetes(catalog: Catalog) -> Iterator[Finding | ReleaseFile]:
    for name in catalog.minors():
        try:
            minor = catalog.minor(name)
        except OperatorError as error:
            yield _unreadable(error)
            continue
        if not minor.releases:
            yield Finding(f"kubernetes {name}", "no releases")
        for component in COMPONENTS:
            if component not in minor.choices:
                yield Finding(f"kubernetes {name}", f"no version of {component} is chosen")
        for choice in minor.choices.values():
            yield from _choice(catalog, minor, choice)
        for release in minor.releases.values():
            yield from _release(catalog, release)


def _choice(catalog: Catalog, minor: Minor, choice: ComponentChoice) -> Iterator[Finding]:
    where = f"kubernetes {minor.minor}, {choice.component} {choice.default}"
    if choice.component not in catalog.components():
        yield Finding(where, "there is no such component")
        return
    try:
        chosen = catalog.component(choice.component).versions.get(choice.default)
        if choice.default not in choice.supported:
            yield Finding(where, f"the default is outside its own supported range {choice.supported}")
    except OperatorError as error:
        yield _unreadable(error)
        return
    if chosen is None:
        yield Finding(where, "the default is not among the component's versions")
    elif chosen.containerd and (runc := minor.choices.get("runc")) and runc.default != chosen.containerd.runc:
        yield Finding(where, f"is tested with runc {chosen.containerd.runc}, the default here is {runc.default}")


def _release(catalog: Catalog, release: Release) -> Iterator[Finding | ReleaseFile]:
    where = f"kubernetes {release.version}"
    for binary in BINARIES:
        by_platform = release.files.get(binary, {})
        yield from _every_platform(f"{where}, {binary}", by_platform)
        yield from by_platform.values()
    wanted = {image.reference for image in kubernetes_images(release)}
    yield from _image_list(where, f"kubernetes/v{release.version}", wanted, lambda: catalog.image_list(release.version))


def _image_list(
    where: str, name: str, wanted: set[Reference], read: Callable[[], tuple[Reference, ...] | None]
) -> Iterator[Finding]:
    """What is wrong with the image list ``name`` of an entry that uses the images ``wanted``."""
    try:
        listed = read()
    except OperatorError as error:
        yield _unreadable(error)
        return
    if listed is None:
        yield Finding(where, f"there is no image list image-lists/{name}.txt")
        return
    for image in sorted(wanted - set(listed), key=str):
        yield Finding(where, f"the image list lacks {image}")
    for image in sorted(set(listed) - wanted, key=str):
        yield Finding(where, f"the image list has {image}, which this version does not use")


def _addons(catalog: Catalog) -> Iterator[Finding]:
    for kind in FOLDERS:
        for name in catalog.addons(kind):
            try:
                addon = catalog.addon_document(kind, name)
            except OperatorError as error:
                yield _unreadable(error)
                continue
            if isinstance(addon, Addon):
                yield from _addon(catalog, addon)


def _addon(catalog: Catalog, addon: Addon) -> Iterator[Finding]:
    where = f"{addon.kind} {addon.name}"
    if addon.default not in addon.versions:
        yield Finding(where, f"the default {addon.default} is not among the versions")
    for version in addon.versions.values():
        place = f"{where} {version.version}"
        try:
            demand_needs(ChosenAddon(addon, version), catalog)
        except OperatorError as error:
            yield Finding(place, f"{error.message} ({error.where}): {error.got}")
        if version.images:
            read = partial(catalog.addon_list, addon.kind, addon.name, version.version)
            listed = f"{FOLDERS[addon.kind]}/{addon.name}-{version.version}"
            yield from _image_list(place, listed, set(version.images), read)


def _endpoint(catalog: Catalog) -> Iterator[Finding]:
    try:
        images = catalog.endpoint_images()
    except OperatorError as error:
        yield _unreadable(error)
        return
    for purpose in sorted(set(ENDPOINT_IMAGES) - {image.purpose for image in images}):
        yield Finding("endpoint", f"no image of {purpose} is chosen")
    yield from _image_list("endpoint", "endpoint", {image.reference for image in images}, catalog.endpoint_list)


def _components(catalog: Catalog) -> Iterator[Finding | ReleaseFile]:
    for name in catalog.components():
        try:
            component = catalog.component(name)
        except OperatorError as error:
            yield _unreadable(error)
            continue
        for version in component.versions.values():
            where = f"{name} {version.version}"
            yield from _every_platform(where, version.files)
            yield from version.files.values()
            if name == "containerd" and version.containerd is None:
                yield Finding(where, "config schema, sandbox image and tested runc are missing")


def _runtime(catalog: Catalog) -> Iterator[Finding]:
    try:
        runtime = catalog.runtime()
    except OperatorError as error:
        yield _unreadable(error)
        return
    if runtime.default not in runtime.pythons:
        yield Finding("runtime", f"the default Python {runtime.default} is not among the versions")
    for python in runtime.pythons.values():
        where = f"runtime, Python {python.version}"
        yield from _every_platform(f"{where}, archive", python.archives)
        for platform in PLATFORMS:
            wheels = python.wheels.get(platform, ())
            for name in sorted(set(WHEELS) - {wheel.name for wheel in wheels}):
                yield Finding(f"{where}, {platform}", f"the wheel of {name} is missing")
            for wheel in wheels:
                if not wheel.filename.startswith(f"{wheel.name}-{wheel.version}-"):
                    yield Finding(f"{where}, {platform}", f"{wheel.filename} is not {wheel.name} {wheel.version}")


def _lists_without_owner(catalog: Catalog) -> Iterator[Finding]:
    for version in catalog.image_lists():
        try:
            catalog.release(version)
        except OperatorError:
            yield Finding(f"image-lists/kubernetes/v{version}.txt", "there is no such release")
    for kind, folder in FOLDERS.items():
        known, noun = set(), {"cni": "a pod network", "addon": "an add-on"}[kind]
        for name in catalog.addons(kind):
            # A document that cannot be read is a finding already.
            with contextlib.suppress(OperatorError):
                known |= {f"{name}-{version}" for version in catalog.addon(kind, name).versions}
        for listed in sorted(set(catalog.addon_lists(kind)) - known):
            yield Finding(f"image-lists/{folder}/{listed}.txt", f"there is no such version of {noun}")


def _every_platform(where: str, found: Iterable[Platform]) -> Iterator[Finding]:
    for platform in sorted(set(PLATFORMS) - set(found)):
        yield Finding(where, f"no SHA-256 for {platform}")


def _same_digest(files: Iterable[ReleaseFile]) -> Iterator[Finding]:
    """Two different files never have the same bytes: a digest that is there twice was copied to the wrong place."""
    seen: dict[Digest, str] = {}
    for file in files:
        name = f"{file.component} {file.version} for {file.platform}"
        if seen.setdefault(file.digest, name) != name:
            yield Finding(name, f"has the SHA-256 of {seen[file.digest]}")


def _unreadable(error: OperatorError) -> Finding:
    return Finding(error.where or "catalogue", f"{error.message}: {error.got}")
