"""The bill of materials: every part of a bundle as a list, which the two standards' modules put into their words.

All of it follows from what the lock and the index say, so the same bundle has the same bytes of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from urllib.parse import quote, urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from bundler.contents import Contents
from bundler.lockfile import INTERPRETER, PROGRAM, LockedRuntime
from installer.bundle.digest import Digest
from installer.bundle.index import BundledImage
from installer.bundle.source import Source

PROJECT = "airgap-bundle"
PROJECT_VERSION = version(PROJECT)
_LAST_SECOND = 253_402_300_799
"""Of the year 9999: what comes later has no date."""
_URL = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.:-]*/[A-Za-z0-9/%._~:@!$&'()*+,;=?-]*")
_RELEASE = re.compile(r"/([A-Za-z0-9_.-]+)/([A-Za-z0-9_.-]+)/releases/download/([^/]+)/[^/]+")


@dataclass(frozen=True)
class Layer:
    """A layer of an image, as the registry's manifest names it."""

    digest: Digest


@dataclass(frozen=True)
class Part:
    """One thing in a bundle. ``kind`` is ``file``, ``image``, ``manifest``, ``chart``, ``runtime`` or ``wheel``.

    ``key`` is unique among the parts and the same for the same part. ``license`` is an SPDX expression, ``None`` where
    it is not known; ``parts`` are within it.
    """

    key: str
    kind: str
    name: str
    version: str
    purl: str
    digest: Digest | None = None
    platform: str | None = None
    license: str | None = None
    source: Source | None = None
    layers: tuple[Layer, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def url(self) -> str | None:
        """Where it can be downloaded, if that is an address any standard takes."""
        return self.source.origin if self.source and _URL.fullmatch(self.source.origin) else None


def parts_of(contents: Contents) -> tuple[Part, ...]:
    """Files, images and charts in the bundle's order, then the installer with its interpreters and wheels."""
    found = [*_files(contents), *_images(contents), *_charts(contents), _installer(contents)]
    keys: dict[str, int] = {}
    out = []
    for part in found:  # nothing forbids two files of one component and platform
        keys[part.key] = keys.get(part.key, 0) + 1
        out.append(part if keys[part.key] == 1 else replace(part, key=f"{part.key}-{keys[part.key]}"))
    return tuple(out)


def document_id(contents: Contents) -> UUID:
    """Identifies the bill of this bundle, as both standards want one; another bundle has another."""
    return uuid5(NAMESPACE_URL, f"{PROJECT}:{PROJECT_VERSION}:{contents.identity}")


def timestamp(contents: Contents) -> str:
    """The time that everything in the bundle has, in UTC."""
    seconds = min(contents.created_seconds, _LAST_SECOND)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _files(contents: Contents) -> Iterator[Part]:
    for item in contents.files:
        yield Part(
            f"file-{item.component}-{_word(item.platform)}",
            "file",
            item.component,
            item.version,
            _purl_of_url(item.component, item.version, item.source.origin, item.blob),
            item.blob,
            str(item.platform),
            contents.licenses.components.get(item.component),
            item.source,
        )


def _images(contents: Contents) -> Iterator[Part]:
    for image in contents.images:
        tag = image.reference.tag or image.blob.short
        yield Part(
            f"image-{_word(image.reference.name)}-{image.blob.hex[:12]}-{_word(tag)}",
            "image",
            image.reference.name,
            tag,
            _purl_of_image(image, image.blob),
            image.blob,
            None,
            contents.licenses.images.get(image.reference.name),
            image.source,
            parts=tuple(_manifests(image, contents.licenses.images.get(image.reference.name))),
        )


def _manifests(image: BundledImage, license_text: str | None) -> Iterator[Part]:
    for platform, its in sorted(image.platforms.items()):
        layers = tuple(Layer(digest) for digest in dict.fromkeys(its.layers))
        name, tag = image.reference.name, image.reference.tag or its.manifest.short
        key = f"manifest-{_word(name)}-{image.blob.hex[:12]}-{_word(tag)}-{_word(platform)}"
        purl = _purl_of_image(image, its.manifest, arch=platform.architecture)
        yield Part(key, "manifest", name, tag, purl, its.manifest, str(platform), license_text,
                   layers=layers)  # fmt: skip


def _charts(contents: Contents) -> Iterator[Part]:
    for addon in contents.addons:
        purl = _purl_of_url(f"{addon.name}-chart", addon.version, addon.source.origin, addon.chart)
        license_text = contents.licenses.charts.get(addon.name)
        yield Part(f"chart-{addon.name}", "chart", addon.name, addon.version, purl, addon.chart, None, license_text,
                   addon.source)  # fmt: skip


def _installer(contents: Contents) -> Part:
    """The file ``install``: this project, and for each platform an interpreter and the packages it uses."""
    known = contents.licenses.runtime.get(PROGRAM)
    inside = tuple(part for runtime in contents.runtimes for part in _runtime(runtime, contents))
    purl = f"pkg:generic/{PROJECT}@{_quoted(PROJECT_VERSION)}"
    return Part("installer", "installer", PROJECT, PROJECT_VERSION, purl, license=known, parts=inside)


def _runtime(runtime: LockedRuntime, contents: Contents) -> Iterator[Part]:
    platform, licenses = str(runtime.platform), contents.licenses.runtime
    source = Source(runtime.origin, runtime.trust, runtime.catalogue or "none")
    purl = _purl_of_url(INTERPRETER, runtime.python, runtime.origin, runtime.digest)
    key = f"runtime-{_word(platform)}"
    yield Part(key, "runtime", INTERPRETER, runtime.python, purl, runtime.digest, platform, licenses.get(INTERPRETER),
               source)  # fmt: skip
    for wheel in runtime.wheels:
        purl = f"pkg:pypi/{_quoted(wheel.name.lower())}@{_quoted(wheel.version)}"
        key = f"wheel-{_word(platform)}-{_word(wheel.name)}"
        yield Part(key, "wheel", wheel.name, wheel.version, purl, wheel.digest, platform, licenses.get(wheel.name))


def _purl_of_url(name: str, version_text: str, origin: str, digest: Digest) -> str:
    """``pkg:github`` for what a project released there, else ``pkg:generic`` with the address and the checksum."""
    at = urlsplit(origin) if _URL.fullmatch(origin) else None
    release = _RELEASE.fullmatch(at.path) if at else None
    if at and release and at.netloc == "github.com":
        owner, project, tag = release.groups()
        return f"pkg:github/{_quoted(owner.lower())}/{_quoted(project.lower())}@{_quoted(tag)}"
    where = f"&download_url={_quoted(origin, keep='/')}" if at else ""
    return f"pkg:generic/{_quoted(name)}@{_quoted(version_text)}?checksum={_quoted(digest)}{where}"


def _purl_of_image(image: BundledImage, digest: Digest, arch: str | None = None) -> str:
    name = image.reference.repository.rpartition("/")[2]
    qualifiers = [("arch", arch), ("repository_url", image.reference.name), ("tag", image.reference.tag)]
    asked = "&".join(f"{key}={_quoted(value, keep='/')}" for key, value in qualifiers if value)
    return f"pkg:oci/{_quoted(name)}@{_quoted(digest)}?{asked}"


def _quoted(text: str, keep: str = "") -> str:
    return quote(text, safe=f":{keep}")


def _word(text: str) -> str:
    """``text`` with only what both standards take in an identifier."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")
