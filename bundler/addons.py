"""Add-ons of a build, resolved into what the lock holds.

An add-on's images are never guessed: the chart is rendered by the bundle's own helm with the values it will be
installed with, and what it names must be what the catalogue lists. Pure over :class:`ChartLookup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bundler.addon_choice import ChosenAddon
from bundler.addon_types import FOLDERS, Addon
from bundler.catalog import Catalog
from bundler.catalog_types import Release, ReleaseFile
from bundler.charts import ChartRelease, pack_objects
from bundler.errors import InputError
from bundler.imagelist import RequiredImage, addon_images
from bundler.site_values import SiteValues
from installer.bundle.addon import BundledAddon
from installer.bundle.descriptor import Descriptor
from installer.bundle.reference import Reference
from installer.bundle.rendered import images_in
from installer.bundle.source import Source
from installer.bundle.values import SAMPLE, fill, merged


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
    chosen: ChosenAddon,
    release: Release,
    helms: Sequence[tuple[ReleaseFile, int]],
    lookup: ChartLookup,
    site: SiteValues,
) -> ResolvedAddon:
    """The add-on for ``release``; ``helms`` are helm's files with their sizes, one for each platform.

    ``site`` has values that are laid over the add-on's own, as the installer will lay them. Raises
    :class:`InputError` when chart and catalogue disagree about the images, ``SourceError`` from the lookups.
    """
    addon = chosen.addon
    chart = lookup.chart(chosen)
    own = site.addons.get(addon.name, {})
    facts = {**SAMPLE, **site.facts, "kubernetes": f"v{release.version}"}
    telling = ChartRelease(addon.name, addon.namespace, fill(merged(addon.values, own), facts), release.version)
    named = _rendered_images(chosen, telling, chart, helms, lookup)
    images = _required(chosen, named, site.name if own else None)
    return ResolvedAddon(_bundled(chosen, chart, "catalogue" if named is None else "helm"), chart, images)


def _rendered_images(
    chosen: ChosenAddon,
    telling: ChartRelease,
    chart: Descriptor,
    helms: Sequence[tuple[ReleaseFile, int]],
    lookup: ChartLookup,
) -> frozenset[Reference] | None:
    """The images that the chart renders to, twice the same; ``None`` where no helm can be executed.

    A chart may make passwords and certificates anew each time, but one whose images are not the same twice cannot be
    carried: nobody knows what it will want on the node.
    """
    where = f"chart {chosen}, rendered"
    for helm, size_bytes in helms:
        texts = [lookup.rendered(helm, size_bytes, chart, telling)]
        if texts[0] is None:
            continue
        texts.append(lookup.rendered(helm, size_bytes, chart, telling))
        first, second = (frozenset(images_in(text or "", where=where)) for text in texts)
        if first != second:
            raise InputError(
                "the chart wants other images each time it is rendered",
                where=where,
                wanted="the same images twice",
                got="\n".join(sorted(map(str, first ^ second))),
                next_step="set what it leaves to chance in the add-on's values",
            )
        return first
    return None


def _required(chosen: ChosenAddon, named: frozenset[Reference] | None, site: str | None) -> tuple[RequiredImage, ...]:
    """The images to carry: all the catalogue lists, and what values of the ``site`` (a file's name) switch on beyond.

    Without a list they are those the chart names. Without values of the site, one that is named and not listed raises
    :class:`InputError`: the list is stale, and what helm does not show may be missing from it, too.
    """
    addon, version = chosen.addon, chosen.version
    unlisted = sorted((named or frozenset()) - set(version.images or ()), key=str)
    if version.images is not None and (site or not unlisted):
        further = addon_images(addon, version, unlisted)
        return (*addon_images(addon, version), *(replace(image, catalogue=site or "") for image in further))
    where = f"chart {chosen}, {version.source.origin}"
    place = f"{FOLDERS[addon.kind]}/{addon.name}.yaml, versions.{version.version}.images"
    if version.images is not None:
        raise InputError(
            "the chart uses images that the catalogue does not list",
            where=where,
            wanted="\n".join(map(str, version.images)) or "none",
            got="\n".join(map(str, unlisted)),
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
    return addon_images(addon, version, unlisted)


def objects_chart(name: str, version: str, catalog: Catalog) -> bytes | None:
    """The chart that the catalogue's objects of this add-on make; ``None`` where it has none."""
    kind = catalog.kind_of(name)
    addon = catalog.addon_document(kind, name) if kind else None
    if not isinstance(addon, Addon) or addon.objects is None:
        return None
    return pack_objects(name, version, addon.objects.text)


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
