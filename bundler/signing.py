"""Signatures on a media set that is there: the builder's own kept right, further ones added, and both demanded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bundler.errors import InputError, IntegrityError
from installer.bundle.signatures import Signed, demand_signed, read_signature, read_signatures
from installer.bundle.signer import fingerprints_named
from installer.bundle.sums import (
    MOST_SIGNATURES,
    SIGNATURE_NAME,
    SUMS_NAME,
    signature_name,
    signature_names,
    sums_bytes,
)

if TYPE_CHECKING:
    from bundler.signkey import SigningKey

SIGNERS_SUFFIX = ".allowed_signers"
"""Of the file beside a media set that names its signer, to be carried by another way than the medium."""


def settle_signatures(folder: Path, key: SigningKey | None, *, partial: Path, mtime_seconds: int) -> None:
    """Makes the first signature that of ``key`` (none: no first one) and removes those that do not hold any more.

    Further ones that hold stay. Each file is there whole or not at all; ``partial`` is where it is written first.
    """
    sums = sums_bytes(folder)
    for name in signature_names(folder):
        if name == SIGNATURE_NAME and key is not None:
            continue
        try:
            signer = read_signature(folder / name, sums)
        except IntegrityError:
            (folder / name).unlink()
        else:
            if name == SIGNATURE_NAME or (key is not None and signer == key.signer):
                (folder / name).unlink()
    if key is not None:
        _put(folder / SIGNATURE_NAME, key.signature_of(sums), partial, mtime_seconds)
    os.utime(folder, (mtime_seconds, mtime_seconds))


def sign_folder(folder: Path, key: SigningKey | None) -> None:
    """Signs a media set that is being written, if there is a key."""
    if key is not None:
        (folder / SIGNATURE_NAME).write_bytes(key.signature_of(sums_bytes(folder)))


def add_signature(folder: Path, key: SigningKey) -> tuple[Signed, ...]:
    """Adds the signature of ``key`` to those that are there, which must hold; who has signed now."""
    sums = _sums_of(folder)
    there = read_signatures(folder, sums)
    if any(item.signer == key.signer for item in there):
        raise InputError(
            "this key has signed already",
            where=str(folder),
            wanted="the key of a further signer",
            got=key.signer.fingerprint,
            next_step="give another with --sign-key FILE; two signatures by one key count as one",
        )
    names = {item.name for item in there}
    free = (name for name in map(signature_name, range(1, MOST_SIGNATURES + 1)) if name not in names)
    name = next(free, None)
    if name is None:
        raise InputError("no room for a further signature", where=str(folder), got=f"{len(names)} of them")
    mtime_seconds = int((folder / SUMS_NAME).stat().st_mtime)
    _put(folder / name, key.signature_of(sums), folder / f".{name}.partial", mtime_seconds)
    return read_signatures(folder, sums)


def signatures_of(path: Path) -> tuple[Signed, ...]:
    """Who signed the media set in the folder ``path``; nobody, for a tarball alone or a folder that is none."""
    return read_signatures(path, sums_bytes(path)) if (path / SUMS_NAME).exists() else ()


def demand_signers(path: Path, given: tuple[str, ...], count: int) -> tuple[Signed, ...]:
    """Who signed the media set at ``path``: ``count`` of those ``given`` as files or fingerprints, or of anybody.

    :class:`IntegrityError` where they did not; of nobody named, one is not demanded.
    """
    allowed = frozenset().union(*(fingerprints_named(name, "--signer") for name in given))
    signed = signatures_of(path)
    if allowed or count > 1:
        by_anybody = frozenset(item.signer.fingerprint for item in signed)
        demand_signed(signed, allowed or by_anybody, count, where=str(path), by="--signer" if given else "--signatures")
    return signed


def _sums_of(folder: Path) -> bytes:
    if not folder.is_dir():
        raise InputError("only a media set can be signed", where=str(folder), wanted="its folder", got="no folder")
    return sums_bytes(folder)


def _put(path: Path, data: bytes, partial: Path, mtime_seconds: int) -> None:
    if path.is_file() and path.read_bytes() == data:
        return
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fchmod(stream.fileno(), 0o644)
        os.utime(stream.fileno(), (mtime_seconds, mtime_seconds))
        os.fsync(stream.fileno())
    partial.replace(path)
