"""Add-on documents (``cni/<name>.yaml``, ``addons/<name>.yaml``) to values, one layer over another; pure.

The rules are those of :mod:`bundler.catalog_read`: a field that a document gives replaces the one below as a whole, a
version it lists replaces or adds to the version below, and every problem is reported at once, with its path.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from bundler.addon_types import FOLDERS, Addon, AddonVersion, Chart, Need, Objects, RetiredAddon
from bundler.catalog_types import Layer
from bundler.errors import InputError
from bundler.versions import VersionRange, parse_version, without_v
from bundler.yaml_document import open_document
from installer.bundle.addon import KINDS, read_name, read_ready, read_values
from installer.bundle.digest import Digest
from installer.bundle.hostneeds import HostNeeds
from installer.bundle.reference import Reference
from installer.bundle.roles import read_roles
from installer.bundle.source import Source
from installer.bundle.strict import Fields

T = TypeVar("T")
SCHEMA = 1
_SETTINGS = (
    *("default", "objects", "needs", "kubernetes", "namespace", "namespace_labels", "values", "ready", "plugins"),
    *("roles", "host", "notes"),
)
"""What decides how an add-on is installed; a catalogue that gives any of them has a word in it."""
_OF_RETIRED = {"schema", "name", "kind", "retired"}
_CHART_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def read_addon(
    document: object, *, where: str, layer: Layer, below: Addon | RetiredAddon | None
) -> Addon | RetiredAddon:
    """An add-on from its document, or that it is retired; raises :class:`InputError`.

    The chart's URL holds for the versions of the same document; a document without one takes the URL below. Objects
    hold for every version. A whole document may stand over one that says the add-on is retired.
    """
    fields = open_document(document, SCHEMA, where=where)
    found = _retired(fields, below) if "retired" in fields else _addon(fields, layer, below)
    fields.problems.check("the catalogue cannot be used", InputError, where=where)
    return found


def _retired(fields: Fields, below: Addon | RetiredAddon | None) -> RetiredAddon:
    name = read_name(fields, "name")
    kind = fields.choice("kind", KINDS, *((below.kind,) if below else ()))
    for key in sorted(set(fields.keys()) - _OF_RETIRED):
        fields.note(key, "what is retired has only a name, a kind and the reason")
    return RetiredAddon(name, kind, fields.text("retired"))


def _addon(fields: Fields, layer: Layer, below: Addon | RetiredAddon | None) -> Addon:
    below = None if isinstance(below, RetiredAddon) else below
    given = _Given(fields, below)
    name = read_name(fields, "name")
    kind = fields.choice("kind", KINDS, *((below.kind,) if below else ()))
    chart, objects = _chart_or_objects(fields, f"{FOLDERS.get(kind, kind)}/{name}.yaml", layer, below)
    default = given("default", lambda: fields.text("default"))
    settings: dict[str, Any] = {
        "needs": given("needs", lambda: _needs(fields)),
        "kubernetes": given("kubernetes", lambda: fields.parsed("kubernetes", VersionRange.parse, None)),
        "namespace": given("namespace", lambda: read_name(fields, "namespace")),
        "namespace_labels": given("namespace_labels", lambda: fields.text_map("namespace_labels")),
        "values": given("values", lambda: read_values(fields)),
        "ready": given("ready", lambda: read_ready(fields)),
        "plugins": given("plugins", lambda: tuple(fields.texts("plugins", []))),
        "roles": given("roles", lambda: read_roles(fields)),
        "host": given("host", lambda: HostNeeds.read(fields.mapping("host", optional=True))),
        "notes": given("notes", lambda: tuple(fields.texts("notes", []))),
    }
    versions = dict(below.versions) if below else {}
    listed = fields.mapping("versions", optional=True)
    for version in listed.keys():  # noqa: SIM118 - Fields is not a dict
        item = listed.mapping(version)
        versions[version] = _version(version, item, chart or objects, layer, versions.get(version))
    if objects:
        versions = {key: replace(version, source=objects.source, digest=None) for key, version in versions.items()}
    fields.finish()
    catalogue = below.catalogue if below and not any(key in fields for key in _SETTINGS) else layer.name
    return Addon(
        name=name,
        kind=kind,
        default=default,
        chart=chart,
        objects=objects,
        versions=versions,
        catalogue=catalogue,
        **settings,
    )


class _Given:
    """A field of the document where it is there, else what the layer below says."""

    def __init__(self, fields: Fields, below: Addon | None) -> None:
        self._fields = fields
        self._below = below

    def __call__(self, key: str, read: Callable[[], T]) -> T:
        if self._below is None or key in self._fields:
            return read()
        found: T = getattr(self._below, key)
        return found


def _chart_or_objects(
    fields: Fields, place: str, layer: Layer, below: Addon | None
) -> tuple[Chart | None, Objects | None]:
    """Where the chart is, or what it is made of; ``place`` is the document's in its catalogue."""
    if "chart" in fields and "objects" in fields:
        fields.note("objects", "a chart is given, too; wanted one of them")
    if "objects" in fields:
        return None, Objects(fields.text("objects", has_lines=True), layer.source(place))
    if "chart" in fields:
        if below and below.objects:
            fields.note("chart", "the catalogue below has objects under this name; use another name")
        return _chart(fields.mapping("chart")), None
    if below:
        return below.chart, below.objects
    fields.note("chart", "missing, wanted a mapping (or objects, a text)")
    return None, None


def _chart(fields: Fields) -> Chart:
    name, url = fields.text("name"), fields.text("url")
    if name and not _CHART_NAME.fullmatch(name):
        fields.note("name", f"wanted lower-case letters, digits, '-' and '.', got {name[:100]!r}")
    rest = url.replace("{version}", "")
    if not url.startswith(("https://", "http://")) or "{" in rest or "}" in rest:
        fields.note("url", f"wanted an http(s) URL, perhaps with {{version}}, got {url!r}")
    fields.finish()
    return Chart(name, url)


def _needs(fields: Fields) -> tuple[Need, ...]:
    return fields.parsed_list("needs", Need.parse) if "needs" in fields else ()


def _version(
    version: str, fields: Fields, general: Chart | Objects | None, layer: Layer, below: AddonVersion | None
) -> AddonVersion:
    """One version; ``general`` is what holds for all that say nothing else."""
    try:
        parse_version(without_v(version))
    except InputError as error:
        fields.note("", f"{error.message}: wanted {error.wanted}, perhaps with a v")
    for key in ("chart", "sha256"):
        if isinstance(general, Objects) and key in fields:
            fields.note(key, "the chart is made of objects here, and nobody else publishes it")
    own_chart = _chart(fields.mapping("chart")) if "chart" in fields else below.chart if below else None
    chart = own_chart or general
    url = chart.url if isinstance(chart, Chart) else ""
    digest = fields.parsed("sha256", Digest.from_hex) if "sha256" in fields else None
    source = _source(version, url, layer, below, proven=digest is not None)
    if below and "images" not in fields:
        images, catalogue = below.images, below.catalogue
    else:
        images = fields.parsed_list("images", Reference.parse) if "images" in fields else None
        catalogue = layer.name
    if images and len(images) != len(set(images)):
        fields.note("images", "an image is listed twice")
    needs = _needs(fields) if "needs" in fields else below.needs if below else None
    fields.finish()
    digest = digest or (below.digest if below else None)
    return AddonVersion(version, source, digest, images, catalogue, own_chart, needs)


def _source(version: str, url: str, layer: Layer, below: AddonVersion | None, *, proven: bool) -> Source:
    """Where a version's chart is, and whose word its checksum is; ``proven`` if this document gives one."""
    source = Source(url.replace("{version}", version), layer.trust if proven else "first-seen", layer.name)
    if below is None or proven:
        return source
    moved = source.origin != below.source.origin
    return replace(below.source, origin=source.origin, catalogue=layer.name) if moved else below.source
