"""Every place bytes can come from, behind one door: files and images, at their mirrors, with one patience."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence

from bundler.mirrors import MirrorProfile, file_urls, image_locations
from bundler.sources.auth import DockerConfig
from bundler.sources.download import Opening, file_openings
from bundler.sources.http import HttpClient, HttpSettings
from bundler.sources.registry import RegistryClient, ResolvedImage
from bundler.store import Store
from installer.bundle.descriptor import Descriptor
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference


class Upstreams:
    """Asks the upstreams, or the mirrors that ``profile`` names, for what canonical names mean and hold.

    Setting ``cancel`` ends all waiting and reading with :class:`bundler.sources.http.Cancelled`, for good; a failed
    or interrupted ``fetch`` sets it.
    """

    def __init__(
        self,
        store: Store,
        profile: MirrorProfile,
        settings: HttpSettings | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.profile = profile
        self.store = store
        self.cancel = threading.Event()
        self.http = HttpClient(settings or HttpSettings(), self.cancel)
        self._registry = RegistryClient(self.http, store, DockerConfig.load(environment))

    def size_bytes(self, url: str) -> int:
        """The size of the release file at the canonical ``url``."""
        return self.http.size_bytes(file_urls(self.profile, url))

    def resolve(self, reference: Reference, platforms: Sequence[Platform]) -> ResolvedImage:
        """What the canonical ``reference`` is for ``platforms``."""
        return self._registry.resolve(reference, platforms, image_locations(self.profile, reference))

    def file_openings(self, url: str) -> list[Opening]:
        """Where the file at the canonical ``url`` can be fetched, in order."""
        return file_openings(self.http, file_urls(self.profile, url))

    def blob_openings(self, reference: Reference, blob: Descriptor) -> list[Opening]:
        """Where a blob of the image ``reference`` can be fetched, in order."""
        return self._registry.blob_openings(image_locations(self.profile, reference), blob)
