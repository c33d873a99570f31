"""What the steps take from an opened bundle; the bundle's reader satisfies it, and so does a small fake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from installer.bundle.digest import Digest
from installer.bundle.index import BundledImage, BundleIndex
from installer.bundle.platform import Platform


class BundleContent(Protocol):
    """An opened bundle: its index, and the bytes it holds, verified as they are read."""

    @property
    def index(self) -> BundleIndex:
        """What the bundle holds."""

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """A blob's content piece by piece; :class:`IntegrityError` at its end if the bytes are not the blob's."""

    def oci_tar(
        self, images: Iterable[BundledImage], platforms: tuple[Platform, ...], later: Iterable[BundledImage] = ()
    ) -> Iterator[bytes]:
        """An OCI layout with these images for these platforms as an uncompressed tar, streamed.

        The images that are asked for ``later`` may share blobs with these.
        """
