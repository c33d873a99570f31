"""A media set into a registry: blobs first, then the manifest, then what refers to it, and the tag last.

Whoever finds the tag finds everything. ``pulling`` is the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bundler.artifact import (
    EMPTY,
    ArtifactFile,
    attached_manifest,
    fallback_tag,
    is_attached,
    media_set_manifest,
    with_referrer,
)
from bundler.artifact_address import ArtifactAddress
from bundler.errors import InputError
from bundler.progress import Progress
from bundler.sources.auth import DockerConfig
from bundler.sources.exchange import RegistryExchange
from bundler.sources.http import HttpClient
from installer.bundle.digest import Digest
from installer.bundle.distribution import Repository
from installer.bundle.index import BundleIndex
from installer.bundle.mediatypes import OCI_INDEX, OCI_MANIFEST
from installer.bundle.ordered import ordered_map
from installer.bundle.sums import SUMS_NAME, is_signature, read_sums
from installer.bundle.verify import Verified

_CHUNK_BYTES = 1024 * 1024
Verify = Callable[[Path, Progress], tuple[BundleIndex, Verified]]
"""Proves a media set, every byte of it."""


@dataclass(frozen=True)
class Pushed:
    """A media set that a registry has: its manifest's ``digest``, its identity, files, and what refers to it."""

    address: ArtifactAddress
    digest: Digest
    identity: Digest
    files: tuple[str, ...]
    attached: tuple[str, ...]
    sent_bytes: int
    present_bytes: int


@dataclass(frozen=True)
class Connection:
    """What talks to a registry: the HTTP client and the user's credentials; ``jobs`` blobs travel at once."""

    http: HttpClient
    config: DockerConfig
    progress: Progress
    jobs: int = 4

    def repository(self, address: ArtifactAddress) -> Repository:
        """The address's repository."""
        return Repository(RegistryExchange(self.http, address.site, self.config), address.repository)


def push_media_set(
    folder: Path, address: ArtifactAddress, connection: Connection, verify: Verify, *, force: bool
) -> Pushed:
    """Brings the media set in ``folder`` into the registry, whole or not under that tag at all."""
    if not folder.is_dir():
        wanted = "the folder of a media set, with install and SHA256SUMS"
        raise InputError("a tarball alone cannot be pushed", where=str(folder), wanted=wanted, got="a file")
    if address.digest is not None or address.tag is None:
        raise InputError("a push is to a tag", where=str(address), wanted="oci://REGISTRY/REPOSITORY:TAG")
    index, verified = verify(folder, connection.progress)
    listed, signatures = _files_of(folder)
    manifest = media_set_manifest(listed, verified.identity, index.kubernetes, index.created_seconds)
    digest = Digest.of(manifest)
    repository = connection.repository(address)
    if not force:
        _demand_free(repository, address, digest)
    sent_bytes, present_bytes = _push_files(folder, repository, (*listed, *signatures), connection)
    repository.demand_manifest(str(digest), manifest, OCI_MANIFEST)
    attached = [file for file in (*listed, *signatures) if is_attached(file.name)]
    for file in attached:
        _attach(repository, attached_manifest(file, manifest, index.created_seconds), digest)
    repository.demand_manifest(address.tag, manifest, OCI_MANIFEST)
    return Pushed(
        address,
        digest,
        verified.identity,
        tuple(file.name for file in listed),
        tuple(file.name for file in attached),
        sent_bytes,
        present_bytes,
    )


def _files_of(folder: Path) -> tuple[list[ArtifactFile], list[ArtifactFile]]:
    """What ``SHA256SUMS`` lists and itself, which are the layers; and the signatures, which refer to them."""
    sums = (folder / SUMS_NAME).read_bytes()
    listed = [
        ArtifactFile.of(name, digest, (folder / name).stat().st_size) for name, digest in read_sums(folder).items()
    ]
    listed.append(ArtifactFile.of(SUMS_NAME, Digest.of(sums), len(sums)))
    signatures = []
    for path in sorted(folder.iterdir()):
        if is_signature(path.name):
            data = path.read_bytes()
            signatures.append(ArtifactFile.of(path.name, Digest.of(data), len(data)))
    return listed, signatures


def _demand_free(repository: Repository, address: ArtifactAddress, digest: Digest) -> None:
    found = repository.manifest(address.tag or "")
    if found is not None and Digest.of(found[0]) != digest:
        raise InputError(
            "the tag leads to something else there",
            where=str(address),
            wanted=f"no such tag, or {digest}",
            got=str(Digest.of(found[0])),
            next_step="push under another tag, or with --force, which lets the tag lead to this media set",
        )


def _push_files(
    folder: Path, repository: Repository, files: tuple[ArtifactFile, ...], connection: Connection
) -> tuple[int, int]:
    """Sends what the registry lacks: the bytes that were sent, and those that were there."""

    def push(file: ArtifactFile, advance: Callable[[int], None]) -> bool:
        if repository.has_blob(file.digest, file.size_bytes):
            advance(file.size_bytes)
            return False
        repository.push_blob(file.digest, file.size_bytes, lambda: _read(folder / file.name), advance)
        return True

    once = list({file.digest: file for file in files}.values())
    with connection.progress.task("push", sum(file.size_bytes for file in once)) as task:
        try:
            sent = list(ordered_map(partial(push, advance=task.advance), once, jobs=connection.jobs))
        except BaseException:
            connection.http.cancel.set()  # or Ctrl-C would wait for every blob that is under way
            raise
    empty = Digest.of(EMPTY)
    if not repository.has_blob(empty, len(EMPTY)):
        repository.push_blob(empty, len(EMPTY), lambda: [EMPTY])
    sent_bytes = sum(file.size_bytes for file, was_sent in zip(once, sent, strict=True) if was_sent)
    return sent_bytes, sum(file.size_bytes for file in once) - sent_bytes


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while data := stream.read(_CHUNK_BYTES):
            yield data


def _attach(repository: Repository, manifest: bytes, subject: Digest) -> None:
    """Puts a manifest that refers to ``subject``; where the registry keeps no lists of those, we keep it by a tag."""
    answer = repository.demand_manifest(str(Digest.of(manifest)), manifest, OCI_MANIFEST)
    if "oci-subject" in answer.headers:
        return
    tag = fallback_tag(subject)
    found = repository.manifest(tag)
    index = with_referrer(found[0] if found else None, manifest, f"{repository.where}:{tag}")
    if index is not None:
        repository.demand_manifest(tag, index, OCI_INDEX)
