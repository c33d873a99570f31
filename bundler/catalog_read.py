"""Catalogue documents to values, one layer over another; pure.

Each ``read_*`` takes a parsed YAML document, its place for messages, the layer it belongs to, and what the layers
below said (``None`` at the bottom). An entry it lists replaces the entry below; what it leaves out stays. Every
problem in a document is reported at once, with its path.
"""

from __future__ import annotations

from collections.abc import Iterator

from bundler.catalog_types import (
    BINARIES,
    CARRIED,
    ENDPOINT_IMAGES,
    KUBEADM_APIS,
    Component,
    ComponentChoice,
    ComponentVersion,
    ContainerdFacts,
    FileTemplate,
    ImageTags,
    Layer,
    Minor,
    Release,
    ReleaseFile,
    RuntimeArchive,
    RuntimeChoice,
    RuntimePython,
)
from bundler.errors import FormatError, InputError
from bundler.imagelist import RequiredImage
from bundler.lockfile import LockedWheel
from bundler.versions import VersionRange, parse_version
from bundler.yaml_document import open_document
from installer.bundle.digest import Digest
from installer.bundle.placement import Placement
from installer.bundle.platform import ARCHITECTURES, Platform
from installer.bundle.reference import Reference
from installer.bundle.roles import read_roles
from installer.bundle.source import Proof
from installer.bundle.strict import Fields

SCHEMA = 1
_BAD = "the catalogue cannot be used"
_NO_DIGEST = Digest("sha256:" + "0" * 64)


def read_minor(document: object, *, where: str, layer: Layer, below: Minor | None) -> Minor:
    """A Kubernetes minor from ``kubernetes/v<minor>.yaml``; raises :class:`InputError`."""
    fields = open_document(document, SCHEMA, where=where)
    minor = fields.text("minor")
    api = fields.choice("kubeadm_api", KUBEADM_APIS, *((below.kubeadm_api,) if below else ()))
    binaries = _binaries(fields, below)
    choices = dict(below.choices) if below else {}
    for name, item in _entries(fields, "components"):
        choices[name] = _choice(name, item, layer)
    releases = dict(below.releases) if below else {}
    for version, item in _versions(fields, "releases"):
        if version.rpartition(".")[0] != minor:
            item.note("", f"wanted a version of {minor}")
        releases[version] = _release(version, item, binaries, layer, releases.get(version))
    fields.finish()
    fields.problems.check(_BAD, InputError, where=where)
    return Minor(minor, api, binaries, choices, releases)


def read_component(document: object, *, where: str, layer: Layer, below: Component | None) -> Component:
    """A component from ``components/<name>.yaml``; raises :class:`InputError`.

    URL, roles and placement hold for the versions of the same document; a document without them takes those below.
    """
    fields = open_document(document, SCHEMA, where=where)
    name = fields.text("component")
    carried = fields.choice("carried", CARRIED, *((below.carried,) if below else ()))
    template = _template(fields, below.template if below else None)
    versions = dict(below.versions) if below else {}
    for version, item in _versions(fields, "versions"):
        versions[version] = _component_version(name, version, item, template, layer, below=versions.get(version))
    fields.finish()
    fields.problems.check(_BAD, InputError, where=where)
    return Component(name, carried, template, versions)


def read_runtime(document: object, *, where: str, layer: Layer, below: RuntimeChoice | None) -> RuntimeChoice:
    """The installer's Python from ``runtime.yaml``; raises :class:`InputError`."""
    fields = open_document(document, SCHEMA, where=where)
    default = fields.text("default", *((below.default,) if below else ()))
    pythons = dict(below.pythons) if below else {}
    for version, item in _versions(fields, "pythons"):
        old = pythons.get(version, RuntimePython(version, {}, {}))
        archives, wheels = dict(old.archives), dict(old.wheels)
        for platform, archive in _platforms(item, "archives"):
            archives[platform] = RuntimeArchive(_sha256(archive, "sha256"), layer.source(_url(archive)))
            archive.finish()
        listed = item.mapping("wheels", optional=True)
        for architecture in listed.keys():  # noqa: SIM118 - Fields is not a dict
            if known := _platform(listed, architecture):
                wheels[known] = tuple(_wheel(wheel) for wheel in listed.mappings(architecture))
        item.finish()
        pythons[version] = RuntimePython(version, archives, wheels)
    fields.finish()
    fields.problems.check(_BAD, InputError, where=where)
    return RuntimeChoice(default, pythons)


def read_endpoint(
    document: object, *, where: str, layer: Layer, below: dict[str, RequiredImage] | None
) -> dict[str, RequiredImage]:
    """The images of the API's endpoint by purpose, from ``endpoint.yaml``; raises :class:`InputError`."""
    fields = open_document(document, SCHEMA, where=where)
    images = dict(below or {})
    for purpose, item in _entries(fields, "images"):
        if purpose not in ENDPOINT_IMAGES:
            item.note("", f"wanted one of {', '.join(ENDPOINT_IMAGES)}")
        reference = item.parsed("reference", Reference.parse)
        images[purpose] = RequiredImage(reference, purpose, read_roles(item), layer.name)
        item.text("reason")
        item.finish()
    fields.finish()
    fields.problems.check(_BAD, InputError, where=where)
    return images


def _binaries(fields: Fields, below: Minor | None) -> dict[str, FileTemplate]:
    found = dict(below.binaries) if below else {}
    for name, item in _entries(fields, "binaries"):
        if name not in BINARIES:
            item.note("", f"wanted one of {', '.join(BINARIES)}")
        found[name] = _template(item, found.get(name))
        item.finish()
    for name in sorted(set(BINARIES) - set(found)):
        fields.note("binaries", f"{name} is missing")
    return found


def _template(fields: Fields, below: FileTemplate | None) -> FileTemplate:
    if below and not any(key in fields for key in ("url", "roles", "placement")):
        return below
    url = _url(fields, templated=True)
    proof = _proof(fields.mapping("proof")) if "proof" in fields else None
    return FileTemplate(url, read_roles(fields), Placement.read(fields.mapping("placement")), proof)


def _proof(fields: Fields) -> Proof:
    """Where upstream says what a file is; both are templates as the file's own URL is."""
    signature = _url(fields, "signature", templated=True) if "signature" in fields else ""
    proof = Proof(_url(fields, "checksum", templated=True), signature)
    fields.finish()
    return proof


def _choice(name: str, fields: Fields, layer: Layer) -> ComponentChoice:
    default = fields.text("default")
    supported = fields.parsed("supported", VersionRange.parse)
    choice = ComponentChoice(name, default, supported, fields.text("reason"), layer.name)
    fields.finish()
    return choice


def _release(
    version: str, fields: Fields, binaries: dict[str, FileTemplate], layer: Layer, below: Release | None
) -> Release:
    files = {name: dict(by_platform) for name, by_platform in below.files.items()} if below else {}
    sums = fields.mapping("sha256", optional=True)
    for name in sums.keys():  # noqa: SIM118 - Fields is not a dict
        if name not in binaries:
            sums.note(name, f"wanted one of {', '.join(BINARIES)}")
            continue
        files.setdefault(name, {}).update(_files(name, version, sums.mapping(name), binaries[name], layer))
    if below and "images" not in fields:
        images, extrapolated, catalogue = below.images, below.extrapolated, below.catalogue
    else:
        images, catalogue = _image_tags(fields.mapping("images")), layer.name
        extrapolated = fields.boolean("extrapolated", False)
    fields.finish()
    return Release(version, images, extrapolated, files, catalogue)


def _image_tags(fields: Fields) -> ImageTags:
    tags = ImageTags(fields.text("coredns"), fields.text("etcd"), fields.text("pause"))
    fields.finish()
    for name, tag in (("coredns", tags.coredns), ("etcd", tags.etcd), ("pause", tags.pause)):
        try:
            Reference("registry.k8s.io", name, tag)
        except FormatError:
            fields.note(name, f"wanted an image tag, got {tag!r}")
    return tags


def _component_version(
    name: str, version: str, fields: Fields, template: FileTemplate, layer: Layer, *, below: ComponentVersion | None
) -> ComponentVersion:
    files = dict(below.files) if below else {}
    files.update(_files(name, version, fields.mapping("sha256"), template, layer))
    facts = below.containerd if below else None
    if "containerd" in fields:
        item = fields.mapping("containerd")
        schema = item.integer("config_schema", least=1)
        facts = ContainerdFacts(schema, item.parsed("sandbox", Reference.parse), item.text("runc"))
        item.finish()
    fields.finish()
    return ComponentVersion(version, files, facts)


def _files(
    name: str, version: str, fields: Fields, template: FileTemplate, layer: Layer
) -> dict[Platform, ReleaseFile]:
    """A file for each architecture of a mapping ``architecture -> SHA-256``."""
    found = {}
    for architecture in fields.keys():  # noqa: SIM118 - Fields is not a dict
        digest = _sha256(fields, architecture)
        if platform := _platform(fields, architecture):
            found[platform] = template.file(name, version, platform, digest, layer)
    return found


def _wheel(fields: Fields) -> LockedWheel:
    name, version, filename = fields.text("name"), fields.text("version"), fields.text("filename")
    wheel = LockedWheel(name, version, filename, _sha256(fields, "sha256"))
    fields.finish()
    return wheel


def _entries(fields: Fields, key: str) -> Iterator[tuple[str, Fields]]:
    """Each entry of an optional mapping of mappings."""
    mapping = fields.mapping(key, optional=True)
    for name in mapping.keys():  # noqa: SIM118 - Fields is not a dict
        yield name, mapping.mapping(name)


def _versions(fields: Fields, key: str) -> Iterator[tuple[str, Fields]]:
    """Each entry of a mapping whose keys are versions; others are noted and left out."""
    for version, item in _entries(fields, key):
        try:
            parse_version(version)
        except InputError as error:
            item.note("", f"{error.message}: wanted {error.wanted}")
            continue
        yield version, item


def _platforms(fields: Fields, key: str) -> Iterator[tuple[Platform, Fields]]:
    """Each entry of an optional mapping whose keys are architectures; others are noted and left out."""
    mapping = fields.mapping(key, optional=True)
    for architecture in mapping.keys():  # noqa: SIM118 - Fields is not a dict
        if platform := _platform(mapping, architecture):
            yield platform, mapping.mapping(architecture)


def _platform(fields: Fields, architecture: str) -> Platform | None:
    if architecture in ARCHITECTURES:
        return Platform(f"linux/{architecture}")
    fields.note(architecture, f"unknown architecture, wanted one of {', '.join(ARCHITECTURES)}")
    return None


def _sha256(fields: Fields, key: str) -> Digest:
    """The digest in ``key``; one of zeros stands in for a bad one, which is noted and thus never used."""
    return fields.parsed(key, Digest.from_hex) or _NO_DIGEST


def _url(fields: Fields, key: str = "url", *, templated: bool = False) -> str:
    url: str = fields.text(key)
    filled = url.replace("{version}", "").replace("{arch}", "") if templated else url
    if not url.startswith(("https://", "http://")) or "{" in filled or "}" in filled:
        placeholders = ", perhaps with {version} and {arch}" if templated else ""
        fields.note(key, f"wanted an http(s) URL{placeholders}, got {url!r}")
    return url
