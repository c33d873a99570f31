"""Images over the OCI distribution API: what a reference means for some platforms, and where its blobs are.

Every manifest is kept as the bytes the registry sent, checked against the digest that asked for it. oras-py helps
with tokens (``auth``); its own calls hand out parsed manifests and unverified files, so the requests are made here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial as bind
from urllib.parse import urlsplit

import requests

from bundler.errors import FormatError, OperatorError, SourceError
from bundler.mirrors import ImageLocation
from bundler.sources.auth import DockerConfig, FixedHeader, RepositoryAuth
from bundler.sources.download import Opening
from bundler.sources.http import HttpClient, SourceFailure, TryFailed, demand_no_page, demand_status, exhausted
from bundler.sources.manifests import (
    MOST_MANIFEST_BYTES,
    ArtifactError,
    ImageIndex,
    ImageManifest,
    IndexEntry,
    config_platform,
    parse_manifest,
)
from bundler.store import Store
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import PlatformImage
from installer.bundle.mediatypes import ACCEPT, INDEXES
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference

_DEEPEST_INDEX = 3


@dataclass(frozen=True)
class ResolvedImage:
    """What a reference meant: the ``blob`` it names, all ``blobs`` that travel (that one first), and the platforms."""

    blob: Descriptor
    blobs: tuple[Descriptor, ...]
    platforms: dict[Platform, PlatformImage]


class PlatformMissing(TryFailed):
    """The image is there and is not made for a wanted platform."""

    def __init__(self, platform: Platform, available: Sequence[str]) -> None:
        has = ", ".join(available) or "no platform at all"
        super().__init__(f"no {platform} in this image; it has {has}", temporary=False)
        self.platform = platform
        self.available = has


class RegistryClient:
    """Asks registries. Manifests and configs that were needed to resolve go to the store at once."""

    def __init__(self, http: HttpClient, store: Store, config: DockerConfig) -> None:
        self._http = http
        self._store = store
        self._config = config
        self._auths: dict[ImageLocation, RepositoryAuth] = {}
        self._lock = threading.Lock()

    def resolve(
        self, reference: Reference, platforms: Sequence[Platform], locations: Sequence[ImageLocation]
    ) -> ResolvedImage:
        """What ``reference`` is for ``platforms``, asked of ``locations`` in order until one tells.

        Raises :class:`SourceError` naming every location and why it did not serve.
        """
        failures: list[SourceFailure] = []
        missing: PlatformMissing | None = None
        for location in locations:
            name = _manifest_url(location, reference.digest or reference.tag or "latest")
            try:
                return _Walk(self, location, reference, platforms).run()
            except PlatformMissing as failure:
                missing = failure
                failures.append(SourceFailure(name, failure.reason, temporary=False))
            except TryFailed as failure:
                failures.append(SourceFailure(name, failure.reason, failure.temporary))
            except FormatError as error:
                failures.append(SourceFailure(name, _told(error), temporary=False, next_step=error.next_step))
        if missing:
            raise _missing(reference, missing)
        raise exhausted(f"cannot fetch image {reference}", failures, wanted=f"its manifest for {', '.join(platforms)}")

    def blob_openings(self, locations: Sequence[ImageLocation], blob: Descriptor) -> list[Opening]:
        """Where a blob of an image can be fetched; a manifest or index has its own place in the API."""
        kind = "manifests" if _is_manifest(blob.media_type) else "blobs"
        openings = []
        for location in locations:
            url = f"{_base(location)}/{kind}/{blob.digest}"
            openings.append(Opening(url, bind(self._open, location, url)))
        return openings

    def manifest(self, location: ImageLocation, name: str, expected: Descriptor | None) -> tuple[bytes, str]:
        """The bytes and the ``Content-Type`` of the manifest called ``name`` (a tag or a digest), verified.

        They are not kept: whether they are a manifest is seen when they are read.
        """
        if expected is not None and self._store.has(expected.digest, expected.size_bytes):
            return self._store.read_bytes(expected.digest, MOST_MANIFEST_BYTES), expected.media_type
        if name.startswith("sha256:") and self._store.has(Digest(name)):
            return self._store.read_bytes(Digest(name), MOST_MANIFEST_BYTES), ""
        return self._http.retry(lambda: self._manifest_once(location, name, expected))

    def config(self, location: ImageLocation, blob: Descriptor) -> bytes:
        """An image's config, verified."""
        if not self._store.has(blob.digest, blob.size_bytes):
            url = f"{_base(location)}/blobs/{blob.digest}"
            self._store.add_bytes(self._http.retry(lambda: self._verified_once(location, url, blob.digest)[0]))
        return self._store.read_bytes(blob.digest, MOST_MANIFEST_BYTES)

    def _manifest_once(self, location: ImageLocation, name: str, expected: Descriptor | None) -> tuple[bytes, str]:
        pinned = Digest(name) if name.startswith("sha256:") else None
        data, response = self._verified_once(location, _manifest_url(location, name), pinned)
        if expected is not None and len(data) != expected.size_bytes:
            raise TryFailed(f"wrong size: wanted {expected.size_bytes} bytes, got {len(data)}", temporary=False)
        return data, response.headers.get("Content-Type", "")

    def keep(self, data: bytes) -> None:
        """Puts a manifest into the store."""
        self._store.add_bytes(data)

    def _verified_once(
        self, location: ImageLocation, url: str, digest: Digest | None
    ) -> tuple[bytes, requests.Response]:
        """A small body, checked against ``digest``, or without one against the digest the registry states."""
        response = self._open(location, url, {"Accept": ACCEPT})
        demand_status(response, 200)
        demand_no_page(response)
        data = self._http.small_body(response, MOST_MANIFEST_BYTES)
        wanted = digest or response.headers.get("Docker-Content-Digest")
        got = Digest.of(data)
        if wanted is not None and wanted.startswith("sha256:") and wanted != got:
            raise TryFailed(f"wrong bytes: wanted {wanted}, got {got}", temporary=True)
        return data, response

    def _open(self, location: ImageLocation, url: str, headers: Mapping[str, str]) -> requests.Response:
        """A GET with the repository's credentials, renewed once when the registry refuses them."""
        auth = self._auth(location)
        headers = {"Accept": ACCEPT, **headers} if "/manifests/" in url else headers
        tried = auth.header()
        response = self._http.request("GET", url, headers, FixedHeader(tried))
        if response.status_code != 401 or urlsplit(response.url).netloc != location.registry:
            return response
        response.close()
        header = auth.renew(response.headers.get("WWW-Authenticate", ""), tried)
        response = self._http.request("GET", url, headers, FixedHeader(header))
        if response.status_code == 401:
            response.close()
            raise TryFailed("HTTP 401: the registry refuses the credentials it asked for", temporary=False)
        return response

    def _auth(self, location: ImageLocation) -> RepositoryAuth:
        with self._lock:
            if location not in self._auths:
                scheme, registry, repository = location.scheme, location.registry, location.repository
                self._auths[location] = RepositoryAuth(self._http, scheme, registry, repository, self._config)
            return self._auths[location]


class _Walk:
    """One reference at one location: from the named blob down to each platform's manifest."""

    def __init__(
        self, client: RegistryClient, location: ImageLocation, reference: Reference, platforms: Sequence[Platform]
    ) -> None:
        self._client = client
        self._location = location
        self._reference = reference
        self._platforms = platforms
        self._blobs: dict[Digest, Descriptor] = {}
        self._available: list[str] = []

    def run(self) -> ResolvedImage:
        """The image for every wanted platform; raises :class:`PlatformMissing`."""
        name = self._reference.digest or self._reference.tag or "latest"
        data, content_type = self._client.manifest(self._location, name, None)
        top = parse_manifest(data, content_type, where=self._where(name))
        self._client.keep(data)
        blob = Descriptor(Digest.of(data), len(data), top.media_type)
        self._keep(blob)
        platforms = {}
        for platform in self._platforms:
            if isinstance(top, ImageIndex):
                image = self._in_index(top, platform, ())
            else:
                image = self._if_config_fits(blob, top, platform, ())
            if image is None:
                raise PlatformMissing(platform, sorted(set(self._available)))
            platforms[platform] = image
        return ResolvedImage(blob, tuple(self._blobs.values()), platforms)

    def _in_index(self, index: ImageIndex, platform: Platform, path: tuple[Descriptor, ...]) -> PlatformImage | None:
        """The platform's image in ``index``: an entry that says so, else in a nested index, else an unmarked one."""
        entries = [entry for entry in index.entries if not entry.is_unknown]
        self._available.extend(str(entry) for entry in entries if entry.has_platform)
        manifests = [entry for entry in entries if _is_image(entry)]
        for entry in manifests:
            if entry.fits(platform):
                # As container runtimes do: where the index names the platform, it is the index that decides.
                return self._image(entry.blob, self._manifest(entry.blob), path)
        for entry in entries:
            if not _is_image(entry) and (entry.fits(platform) or not entry.has_platform):
                image = self._in_nested(entry.blob, platform, path)
                if image is not None:
                    return image
        for entry in manifests:
            if not entry.has_platform and not entry.is_artifact:
                with contextlib.suppress(ArtifactError):
                    image = self._if_config_fits(entry.blob, self._manifest(entry.blob), platform, path)
                    if image is not None:
                        return image
        return None

    def _in_nested(self, blob: Descriptor, platform: Platform, path: tuple[Descriptor, ...]) -> PlatformImage | None:
        if len(path) >= _DEEPEST_INDEX:
            raise TryFailed(f"image indexes nested deeper than {_DEEPEST_INDEX}", temporary=False)
        nested = self._parsed(blob)
        if not isinstance(nested, ImageIndex):
            raise TryFailed(f"{blob.digest} is not the image index its parent says it is", temporary=False)
        return self._in_index(nested, platform, (*path, blob))

    def _if_config_fits(
        self, blob: Descriptor, manifest: ImageManifest, platform: Platform, path: tuple[Descriptor, ...]
    ) -> PlatformImage | None:
        """The image if its own config says it is for ``platform``: nothing else tells."""
        try:
            data = self._client.config(self._location, manifest.config)
        except TryFailed as failure:
            raise _of(manifest.config, failure) from None
        said = config_platform(data, where=self._where(manifest.config.digest))
        self._available.append(said)
        return self._image(blob, manifest, path) if said == platform else None

    def _image(self, blob: Descriptor, manifest: ImageManifest, path: tuple[Descriptor, ...]) -> PlatformImage:
        for item in (*path, blob, manifest.config, *manifest.layers):
            self._keep(item)
        return PlatformImage(
            blob.digest,
            manifest.config.digest,
            tuple(layer.digest for layer in manifest.layers),
            tuple(item.digest for item in path),
        )

    def _manifest(self, blob: Descriptor) -> ImageManifest:
        parsed = self._parsed(blob)
        if not isinstance(parsed, ImageManifest):
            raise TryFailed(f"{blob.digest} is not the image manifest its index says it is", temporary=False)
        return parsed

    def _parsed(self, blob: Descriptor) -> ImageIndex | ImageManifest:
        try:
            data, _ = self._client.manifest(self._location, blob.digest, blob)
        except TryFailed as failure:
            raise _of(blob, failure) from None
        parsed = parse_manifest(data, blob.media_type, where=self._where(blob.digest))
        self._client.keep(data)
        return parsed

    def _keep(self, blob: Descriptor) -> None:
        known = self._blobs.setdefault(blob.digest, blob)
        if known.size_bytes != blob.size_bytes:
            sizes = f"{known.size_bytes} and {blob.size_bytes} bytes"
            raise TryFailed(f"{blob.digest} is said to have {sizes}", temporary=False)

    def _where(self, name: str) -> str:
        return _manifest_url(self._location, name)


def _is_image(entry: IndexEntry) -> bool:
    return entry.blob.media_type not in INDEXES


def _is_manifest(media_type: str) -> bool:
    return media_type in ACCEPT.split(", ")


def _base(location: ImageLocation) -> str:
    return f"{location.scheme}://{location.registry}{location.api_path}/v2/{location.repository}"


def _manifest_url(location: ImageLocation, name: str) -> str:
    return f"{_base(location)}/manifests/{name}"


def _of(blob: Descriptor, failure: TryFailed) -> TryFailed:
    """The failure to get a document below the one that was asked for, which it names."""
    reason = f"{failure.reason} (asked for {blob.digest})"
    return TryFailed(reason, temporary=failure.temporary, wait_seconds=failure.wait_seconds)


def _told(error: OperatorError) -> str:
    parts = (error.message, error.wanted and f"wanted {error.wanted}", error.got and f"got {error.got}")
    return ", ".join(part for part in parts if part)


def _missing(reference: Reference, failure: PlatformMissing) -> SourceError:
    return SourceError(
        f"the image is not made for {failure.platform}",
        temporary=False,
        where=str(reference),
        wanted=failure.platform,
        got=failure.available,
        next_step="leave that architecture out (--arch), or choose a version that has it",
    )
