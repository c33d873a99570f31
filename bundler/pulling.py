"""A media set out of a registry, whole and verified, or not under its name at all.

It is gathered in a hidden folder beside the final one, which a later run goes on with.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bundler.artifact import (
    SIGNATURE,
    Artifact,
    ArtifactFile,
    demand_agreement,
    demand_media_set,
    fallback_tag,
    read_artifact,
    referrers_in,
)
from bundler.artifact_address import ArtifactAddress
from bundler.errors import FormatError, InputError, IntegrityError, RegistryError
from bundler.mirrors import ImageLocation
from bundler.room import Need, demand_room, demand_writable, write_error
from bundler.sources.download import Download, Wanted
from bundler.sources.registry import RegistryClient
from bundler.store import Store
from bundler.transport import Connection, Verify
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.distribution import refusal
from installer.bundle.index import MAXIMUM_BYTES, BundleIndex
from installer.bundle.layout import INDEX_NAME
from installer.bundle.mediatypes import OCI_INDEX
from installer.bundle.ordered import ordered_map
from installer.bundle.sums import INSTALL_NAME, SIGNATURE_NAME, SUMS_NAME, is_signature, parse_sums

_MOST_SUMS_BYTES = 1024 * 1024
_MOST_SIGNATURE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Pulled:
    """A media set that was pulled: where it is, what it is, and whether it ``was_there`` already."""

    folder: Path
    digest: Digest
    identity: Digest
    signatures: tuple[str, ...]
    size_bytes: int
    was_there: bool


def pull_media_set(address: ArtifactAddress, out: Path, connection: Connection, verify: Verify) -> Pulled:
    """Brings the media set at ``address`` into a folder of its own name below ``out``, verified."""
    demand_writable("--out", out)
    try:
        return _Pull(address, out, connection, verify).run()
    except OSError as error:
        next_step = "make room, or name another folder with --out DIR; what arrived is kept and resumed"
        message = "the media set cannot be written"
        raise write_error(message, error, out, needed_bytes=None, next_step=next_step) from None


class _Pull:
    """One pull: the manifest and the small files that say what is wanted, then the rest."""

    def __init__(self, address: ArtifactAddress, out: Path, connection: Connection, verify: Verify) -> None:
        self._address = address
        self._out = out
        self._connection = connection
        self._verify = verify
        self._repository = connection.repository(address)

    def run(self) -> Pulled:
        """The media set under its name; what is there already is proven instead."""
        data = self._manifest()
        artifact = read_artifact(data, str(self._address))
        demand_media_set(artifact, str(self._address))
        if missing := {SUMS_NAME, INDEX_NAME, INSTALL_NAME} - set(artifact.files):
            names = ", ".join(sorted(missing))
            raise FormatError("the artifact lacks a file that every media set has", where=str(self._address), got=names)
        digest = Digest.of(data)
        staging = self._out / f".pull-{digest.hex[:16]}"
        self._store = Store(staging, self._connection.progress.say, alone=True, option="--out")
        try:
            pulled = self._gather(artifact, digest, staging)
        except BaseException:
            self._connection.http.cancel.set()  # or Ctrl-C would wait for every blob that is under way
            raise
        finally:
            self._store.close()
        shutil.rmtree(staging)
        return pulled

    def _manifest(self) -> bytes:
        found = self._repository.manifest(self._address.name)
        if found is None:
            raise RegistryError(
                "there is no such artifact",
                where=str(self._address),
                wanted="a tag or digest that bundle push wrote",
                got="HTTP 404",
                next_step="check repository and tag; a registry that wants credentials may say this, too",
            )
        return found[0]

    def _gather(self, artifact: Artifact, digest: Digest, staging: Path) -> Pulled:
        gathered = staging / "set"
        self._take_back(artifact.files, gathered)
        sums = self._small(artifact.files[SUMS_NAME], _MOST_SUMS_BYTES)
        where = f"{self._address}, {SUMS_NAME}"
        demand_agreement(artifact, parse_sums(sums.decode("ascii", "backslashreplace"), where), str(self._address))
        index_bytes = self._small(artifact.files[INDEX_NAME], MAXIMUM_BYTES)
        index = BundleIndex.from_bytes(index_bytes, where=f"{self._address}, {INDEX_NAME}")
        folder, size_bytes = self._out / index.name, sum(file.size_bytes for file in artifact.files.values())
        signatures = self._signatures(digest)
        identity = Digest.of(index_bytes)
        if folder.exists():
            self._demand_same(folder, sums)
            _write_missing(folder, signatures)
            self._verify(folder, self._connection.progress)
            return Pulled(folder, digest, identity, tuple(signatures), size_bytes, was_there=True)
        self._fetch(tuple(artifact.files.values()))
        self._name(artifact.files, gathered)
        _write_missing(gathered, signatures)
        self._verify(gathered, self._connection.progress)
        _sync(gathered)
        gathered.rename(folder)
        _sync(self._out)
        return Pulled(folder, digest, identity, tuple(signatures), size_bytes, was_there=False)

    def _take_back(self, files: Mapping[str, ArtifactFile], gathered: Path) -> None:
        """What an interrupted run had given its name already counts as arrived: the store looks at it again."""
        for name, file in files.items():
            if (gathered / name).exists():
                (gathered / name).replace(self._store.path(file.digest))

    def _fetch(self, files: tuple[ArtifactFile, ...]) -> None:
        once = tuple({file.digest: file for file in files}.values())
        total_bytes = sum(file.size_bytes for file in once)
        begun_bytes = sum(
            self._store.size_bytes(file.digest) or self._store.begun_bytes(file.digest, file.size_bytes)
            for file in once
        )
        again_bytes = sum(file.size_bytes for file in files) - total_bytes
        demand_room([Need("--out", self._out, total_bytes - begun_bytes + again_bytes)])
        with self._connection.progress.task("pull", total_bytes) as task:
            for _ in ordered_map(partial(self._download, advance=task.advance), once, jobs=self._connection.jobs):
                pass

    def _download(self, file: ArtifactFile, advance: Callable[[int], None] = lambda _bytes: None) -> None:
        site, connection = self._address.site, self._connection
        location = ImageLocation(site.scheme, site.host, self._address.repository)
        client = RegistryClient(connection.http, self._store, connection.config)
        blob = Descriptor(file.digest, file.size_bytes, file.media_type)
        download = Download(connection.http, self._store, advance)
        download.run(Wanted(file.digest, file.size_bytes, file.name), client.blob_openings([location], blob))

    def _small(self, file: ArtifactFile, most_bytes: int) -> bytes:
        if file.size_bytes > most_bytes:
            got = f"{file.size_bytes} bytes"
            raise FormatError(f"{file.name} is too large", where=str(self._address), wanted=f"{most_bytes}", got=got)
        self._download(file)
        return self._store.read_bytes(file.digest, most_bytes)

    def _signatures(self, subject: Digest) -> dict[str, bytes]:
        """The signatures that refer to the manifest, numbered in one order whoever pushed them."""
        found: dict[Digest, tuple[str, bytes]] = {}
        for digest in self._referring(subject):
            manifest = self._repository.manifest(digest)
            if manifest is None:
                continue
            for file in read_artifact(manifest[0], f"{self._repository.where}@{digest}").files.values():
                if is_signature(file.name):
                    found[file.digest] = (file.name, self._small(file, _MOST_SIGNATURE_BYTES))
        ordered = sorted(found.items(), key=lambda item: (_number(item[1][0]), item[0]))
        return {_numbered(place): data for place, (_, (_, data)) in enumerate(ordered, start=1)}

    def _referring(self, subject: Digest) -> list[Digest]:
        """What refers to ``subject`` as a signature: the registry's own list, else the one that is kept by a tag."""
        answer = self._repository.get(f"referrers/{subject}", OCI_INDEX)
        where = f"{self._repository.where}, referrers of {subject}"
        if answer.status in (401, 403):
            raise refusal(answer, where)
        data = answer.body
        if not answer.ok:
            found = self._repository.manifest(fallback_tag(subject))
            if found is None:
                return []
            data = found[0]
        entries = referrers_in(data, where)
        return [Digest(str(entry.get("digest"))) for entry in entries if entry.get("artifactType") == SIGNATURE]

    def _demand_same(self, folder: Path, sums: bytes) -> None:
        there = folder / SUMS_NAME
        if not there.is_file() or there.read_bytes() != sums:
            raise InputError(
                "another media set is in the place of this one",
                where=str(folder),
                wanted="nothing there, or the same media set",
                got="one with other sums" if there.is_file() else "a folder without sums",
                next_step="move it away, or name another folder with --out DIR",
            )

    def _name(self, files: Mapping[str, ArtifactFile], gathered: Path) -> None:
        """Gives each blob the name of its file; install becomes a program again, which a registry does not keep."""
        gathered.mkdir(exist_ok=True)
        last = {file.digest: name for name, file in files.items()}
        for name, file in files.items():
            place, blob = gathered / name, self._store.path(file.digest)
            if last[file.digest] == name:
                blob.replace(place)
            else:
                shutil.copyfile(blob, place)
            with suppress(PermissionError):  # FAT has no modes
                place.chmod(0o755 if file.is_executable else 0o644)


def _write_missing(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes the signatures that are not there yet; another one under the same name is an error."""
    for name, data in files.items():
        path = folder / name
        if not path.exists():
            path.write_bytes(data)
        elif path.read_bytes() != data:
            raise IntegrityError(
                "the signature there is another one than the registry's",
                where=str(path),
                wanted=Digest.of(data),
                got=Digest.of(path.read_bytes()),
                next_step="move it away, then run the same command again",
            )


def _number(name: str) -> int:
    """The place of a signature by its name: 1 for the first, which has no number."""
    return int(name.removeprefix(SIGNATURE_NAME).removeprefix(".") or 1)


def _numbered(place: int) -> str:
    return SIGNATURE_NAME if place == 1 else f"{SIGNATURE_NAME}.{place}"


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
