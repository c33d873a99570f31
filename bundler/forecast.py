"""How much a build is going to fetch and pack, and about how long that takes. Pure arithmetic.

How fast a network is nobody can know beforehand: the rate is that of the last fetch into the same store
(:mod:`bundler.fetch` keeps it), and without one there is no time. What packing takes was measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from installer.bundle import mediatypes
from installer.bundle.descriptor import Descriptor

# Two cores of a shared virtual machine (EPYC) with an SSD: read from the store, hashed, compressed, hashed, written.
PACK_STORED_BYTES_PER_SECOND = 240e6
"""Layers that are compressed already: 214 to 329 MB/s."""
PACK_SHRINKING_BYTES_PER_SECOND = 45e6
"""Binaries, which are worth compressing: 102 MB in 2.4 s."""


@dataclass(frozen=True)
class PhaseForecast:
    """What one phase is going to do; ``seconds`` is ``None`` where nothing tells how long that takes."""

    name: str
    size_bytes: int
    seconds: float | None


Phases = tuple[PhaseForecast, ...]


def forecast(
    blobs: Iterable[Descriptor], missing_bytes: int, fetch_bytes_per_second: float | None, *, is_dense: bool = False
) -> Phases:
    """The phases ``fetch`` and ``assemble`` of a build that packs ``blobs`` and lacks ``missing_bytes`` of them.

    How large layers are once unpacked is known only when they are here, so packing them densely has no time.
    """
    stored_bytes = shrinking_bytes = 0
    for blob in blobs:
        if mediatypes.is_compressed(blob.media_type):
            stored_bytes += blob.size_bytes
        else:
            shrinking_bytes += blob.size_bytes
    fetching = missing_bytes / fetch_bytes_per_second if fetch_bytes_per_second else None
    packing = stored_bytes / PACK_STORED_BYTES_PER_SECOND + shrinking_bytes / PACK_SHRINKING_BYTES_PER_SECOND
    return (
        PhaseForecast("fetch", missing_bytes, fetching if missing_bytes else 0.0),
        PhaseForecast("assemble", stored_bytes + shrinking_bytes, None if is_dense else packing),
    )
