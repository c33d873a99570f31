"""Every place bytes can come from, behind one door: files and images, at their mirrors, with one patience."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial as bind

from bundler.mirrors import MirrorProfile, file_urls, image_locations
from bundler.sources.auth import DockerConfig
from bundler.sources.download import Opening, file_openings
from bundler.sources.http import (
    HttpClient,
    HttpSettings,
    SourceFailure,
    TryFailed,
    demand_no_page,
    demand_status,
    exhausted,
    shown,
)
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

    def small_file(self, url: str, most_bytes: int, what: str) -> tuple[bytes, str]:
        """All of the file at the canonical ``url``, which no checksum is known for, and the place that served it.

        Raises :class:`SourceError` naming every place and why it failed.
        """
        failures: list[SourceFailure] = []
        for place in file_urls(self.profile, url):
            try:
                return self.http.retry(bind(self._small_file, place, most_bytes)), shown(place)
            except TryFailed as failure:
                failures.append(SourceFailure(shown(place), failure.reason, failure.temporary))
        raise exhausted(f"cannot fetch {what}", failures, wanted=f"a file of at most {most_bytes} bytes")

    def _small_file(self, url: str, most_bytes: int) -> bytes:
        response = self.http.request("GET", url)
        demand_status(response, 200)
        demand_no_page(response)
        return self.http.small_body(response, most_bytes)

    def file_openings(self, url: str) -> list[Opening]:
        """Where the file at the canonical ``url`` can be fetched, in order."""
        return file_openings(self.http, file_urls(self.profile, url))

    def blob_openings(self, reference: Reference, blob: Descriptor) -> list[Opening]:
        """Where a blob of the image ``reference`` can be fetched, in order."""
        return self._registry.blob_openings(image_locations(self.profile, reference), blob)
