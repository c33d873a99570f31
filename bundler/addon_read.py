"""Add-on documents (``cni/<name>.yaml``) to values, one layer over another; pure.

The rules are those of :mod:`bundler.catalog_read`: a field that a document gives replaces the one below as a whole, a
version it lists replaces or adds to the version below, and every problem is reported at once, with its path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from bundler.catalog_types import Addon, AddonVersion, Layer
from bundler.errors import InputError
from bundler.versions import parse_version, without_v
from bundler.yaml_document import open_document
from installer.bundle.addon import KINDS, read_name, read_ready, read_values
from installer.bundle.digest import Digest
from installer.bundle.index import read_roles
from installer.bundle.reference import Reference
from installer.bundle.source import Source
from installer.bundle.strict import Fields

T = TypeVar("T")
SCHEMA = 1
_SETTINGS = ("default", "namespace", "namespace_labels", "values", "ready", "plugins", "roles", "notes")
"""What decides how an add-on is installed; a catalogue that gives any of them has a word in it."""


def read_addon(document: object, *, where: str, layer: Layer, below: Addon | None) -> Addon:
    """An add-on from its document; raises :class:`InputError`.

    The chart's URL holds for the versions of the same document; a document without one takes the URL below.
    """
    fields = open_document(document, SCHEMA, where=where)
    given = _Given(fields, below)
    name = read_name(fields, "name")
    kind = fields.choice("kind", KINDS, *((below.kind,) if below else ()))
    chart, url = _chart(fields, below)
    default = given("default", lambda: fields.text("default"))
    settings: dict[str, Any] = {
        "namespace": given("namespace", lambda: read_name(fields, "namespace")),
        "namespace_labels": given("namespace_labels", lambda: fields.text_map("namespace_labels")),
        "values": given("values", lambda: read_values(fields)),
        "ready": given("ready", lambda: read_ready(fields)),
        "plugins": given("plugins", lambda: tuple(fields.texts("plugins", []))),
        "roles": given("roles", lambda: read_roles(fields)),
        "notes": given("notes", lambda: tuple(fields.texts("notes", []))),
    }
    versions = dict(below.versions) if below else {}
    listed = fields.mapping("versions", optional=True)
    for version in listed.keys():  # noqa: SIM118 - Fields is not a dict
        item = listed.mapping(version)
        versions[version] = _version(version, item, url, layer, versions.get(version))
    fields.finish()
    fields.problems.check("the catalogue cannot be used", InputError, where=where)
    catalogue = below.catalogue if below and not any(key in fields for key in _SETTINGS) else layer.name
    return Addon(
        name=name, kind=kind, default=default, chart=chart, url=url, versions=versions, catalogue=catalogue, **settings
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


def _chart(fields: Fields, below: Addon | None) -> tuple[str, str]:
    """The chart's own name and the URL of its archive."""
    if below and "chart" not in fields:
        return below.chart, below.url
    chart = fields.mapping("chart")
    name, url = read_name(chart, "name"), chart.text("url")
    rest = url.replace("{version}", "")
    if not url.startswith(("https://", "http://")) or "{" in rest or "}" in rest:
        chart.note("url", f"wanted an http(s) URL, perhaps with {{version}}, got {url!r}")
    chart.finish()
    return name, url


def _version(version: str, fields: Fields, url: str, layer: Layer, below: AddonVersion | None) -> AddonVersion:
    try:
        parse_version(without_v(version))
    except InputError as error:
        fields.note("", f"{error.message}: wanted {error.wanted}, perhaps with a v")
    own = fields.parsed("sha256", Digest.from_hex) if "sha256" in fields else None
    digest = own or (below.digest if below else None)
    source = Source(url.replace("{version}", version), layer.trust if own else "first-seen", layer.name)
    if below and own is None:
        moved = source.origin != below.source.origin
        source = replace(below.source, origin=source.origin, catalogue=layer.name) if moved else below.source
    if below and "images" not in fields:
        images, catalogue = below.images, below.catalogue
    else:
        images = fields.parsed_list("images", Reference.parse) if "images" in fields else ()
        catalogue = layer.name
    if len(images) != len(set(images)):
        fields.note("images", "an image is listed twice")
    fields.finish()
    return AddonVersion(version, source, digest, images, catalogue)
