"""Add-ons of a build, resolved into what the lock holds.

An add-on's images are never guessed: the chart is rendered by the bundle's own helm with the values it will be
installed with, and what it names must be what the catalogue lists. Pure over :class:`ChartLookup`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bundler.addon_choice import ChosenAddon
from bundler.addon_types import FOLDERS, Addon
from bundler.catalog import Catalog
from bundler.catalog_types import Release, ReleaseFile
from bundler.charts import ChartRelease, images_in, pack_objects
from bundler.errors import InputError
from bundler.imagelist import RequiredImage, addon_images
from installer.bundle.addon import BundledAddon
from installer.bundle.descriptor import Descriptor
from installer.bundle.reference import Reference
from installer.bundle.source import Source
from installer.bundle.values import SAMPLE, fill


class ChartLookup(Protocol):
    """What only the outside can tell about charts. Implementations raise ``SourceError`` when it does not."""

    def chart(self, chosen: ChosenAddon) -> Descriptor:
        """The packed chart, kept for later; proven by its checksum, or first seen now where there is none."""
        ...

    def rendered(self, helm: ReleaseFile, size_bytes: int, chart: Descriptor, release: ChartRelease) -> str | None:
        """What ``helm`` renders the chart to; ``None`` where the builder cannot execute it (or shall not fetch it)."""
        ...


@dataclass(frozen=True)
class ResolvedAddon:
    """What the lock gets: the add-on, its chart's blob, and the images it needs."""

    bundled: BundledAddon
    chart: Descriptor
    images: tuple[RequiredImage, ...]


def resolve_addon(
    chosen: ChosenAddon, release: Release, helms: Iterable[tuple[ReleaseFile, int]], lookup: ChartLookup
) -> ResolvedAddon:
    """The add-on for ``release``; ``helms`` are helm's files with their sizes, one for each platform.

    Raises :class:`InputError` when chart and catalogue disagree about the images, ``SourceError`` from the lookups.
    """
    addon, version = chosen.addon, chosen.version
    chart = lookup.chart(chosen)
    values = fill(addon.values, {**SAMPLE, "kubernetes": f"v{release.version}"})
    telling = ChartRelease(addon.name, addon.namespace, values, release.version)
    texts = (lookup.rendered(helm, size_bytes, chart, telling) for helm, size_bytes in helms)
    text = next((text for text in texts if text is not None), None)
    named = None if text is None else images_in(text, where=f"chart {chosen}, rendered")
    images = addon_images(addon, version, _agreed(chosen, named))
    return ResolvedAddon(_bundled(chosen, chart, "catalogue" if named is None else "helm"), chart, images)


def objects_chart(name: str, version: str, catalog: Catalog) -> bytes | None:
    """The chart that the catalogue's objects of this add-on make; ``None`` where it has none."""
    kind = catalog.kind_of(name)
    addon = catalog.addon_document(kind, name) if kind else None
    if not isinstance(addon, Addon) or addon.objects is None:
        return None
    return pack_objects(name, version, addon.objects.text)


def _agreed(chosen: ChosenAddon, named: Sequence[Reference] | None) -> Sequence[Reference]:
    """The images the catalogue lists, which are at least those the chart names; or the latter where it lists none."""
    listed = chosen.version.images
    if listed and (named is None or set(named) <= set(listed)):
        return listed
    where = f"chart {chosen}, {chosen.version.source.origin}"
    place = f"{FOLDERS[chosen.addon.kind]}/{chosen.addon.name}.yaml, versions.{chosen.version.version}.images"
    if listed:
        raise InputError(
            "the chart uses images that the catalogue does not list",
            where=where,
            wanted="\n".join(map(str, listed)),
            got="\n".join(str(image) for image in named or () if image not in listed),
            next_step=f"list them in a folder of yours (--catalog DIR): {place}",
        )
    if named is None:
        raise InputError(
            "nobody can tell which images the chart uses",
            where=where,
            wanted="a list in the catalogue, or a builder that can execute the bundle's helm",
            got="no list, and helm was not executed",
            next_step=f"list them ({place}), or build without --plan on a Linux machine of the bundle's architecture",
        )
    return named


def _bundled(chosen: ChosenAddon, chart: Descriptor, told_by: str) -> BundledAddon:
    addon, source = chosen.addon, chosen.version.source
    if source.catalogue == "built-in":
        source = Source(source.origin, source.trust, addon.catalogue)
    return BundledAddon(
        name=addon.name,
        version=chosen.version.version,
        kind=addon.kind,
        chart=chart.digest,
        namespace=addon.namespace,
        namespace_labels=addon.namespace_labels,
        values=addon.values,
        ready=addon.ready,
        plugins=addon.plugins,
        notes=addon.notes,
        needs=tuple(need.name for need in chosen.needs),
        host=addon.host,
        roles=addon.roles,
        images_told_by=told_by,
        source=source,
    )
