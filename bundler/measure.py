"""How large compressed blobs are once unpacked: only the bytes themselves tell, so each is read through once.

The answer is kept by digest in a folder beside the store (a file ``<hex>`` holding the number); a digest never
changes its meaning, so an answer never expires.
"""

from __future__ import annotations

import contextlib
import gzip
import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import zstandard
from isal import igzip
from isal.igzip_lib import IsalError as _IsalError

from bundler.errors import FormatError
from bundler.records import write_record
from installer.bundle import mediatypes
from installer.bundle.descriptor import Descriptor
from installer.bundle.ordered import ordered_map
from installer.bundle.pack import BlobSource, VerifiedReader

_CHUNK_BYTES = 1024 * 1024
_ISAL_ERROR = cast("type[Exception]", _IsalError)  # its stubs call the class an instance


class UnpackedSizes:
    """Unpacked sizes of blobs, remembered in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def measured(self, blobs: Iterable[Descriptor], source: BlobSource, *, jobs: int) -> tuple[Descriptor, ...]:
        """The descriptors in the same order, compressed archives with their unpacked size."""
        return tuple(ordered_map(lambda blob: self.measure(blob, source), blobs, jobs=jobs))

    def measure(self, blob: Descriptor, source: BlobSource) -> Descriptor:
        """The descriptor of ``blob``, with its unpacked size if it is a compressed archive."""
        if not mediatypes.is_compressed(blob.media_type):
            return blob
        return replace(blob, unpacked_size_bytes=self._size(blob, source))

    def _size(self, blob: Descriptor, source: BlobSource) -> int:
        path = self.folder / blob.digest.hex
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(path.read_text(encoding="ascii"))
        with source.open(blob.digest) as reader:
            size_bytes = unpacked_size(reader, blob)
        write_record(path, f"{size_bytes}\n".encode("ascii"))
        return size_bytes


def unpacked_size(reader: VerifiedReader, blob: Descriptor) -> int:
    """The number of bytes the gzip or zstd stream in ``reader`` unpacks to, in one pass and constant memory."""
    return sum(map(len, unpacked(reader, blob)))


def unpacked(reader: VerifiedReader, blob: Descriptor) -> Iterator[bytes]:
    """What the gzip or zstd stream in ``reader`` unpacks to, piece by piece; what is neither, as it is."""
    if not mediatypes.is_compressed(blob.media_type):
        yield from iter(lambda: reader.read(_CHUNK_BYTES), b"")
        return
    raw = io.BufferedReader(_Raw(reader), _CHUNK_BYTES)
    try:
        if blob.media_type.endswith("zstd"):
            with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
                yield from iter(lambda: stream.read(_CHUNK_BYTES), b"")
                return
        with igzip.GzipFile(fileobj=raw) as plain:  # type: ignore[no-untyped-call]
            yield from iter(lambda: plain.read(_CHUNK_BYTES), b"")
    except (gzip.BadGzipFile, EOFError, _ISAL_ERROR, zstandard.ZstdError) as error:
        raise FormatError(
            "a blob is not the compressed archive its media type says",
            where=blob.digest,
            wanted=blob.media_type,
            got=str(error),
            next_step="its bytes are the ones upstream serves; report it there, or use another version",
        ) from None


class _Raw(io.RawIOBase):
    """A verified reader as a raw stream, which is what the decompressors take."""

    def __init__(self, reader: VerifiedReader) -> None:
        self._reader = reader

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fills ``buffer`` with what is there; 0 at the end."""
        data = self._reader.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
