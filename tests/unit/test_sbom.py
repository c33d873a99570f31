"""The bill of materials: what it lists, that it follows from its bundle alone, and that both standards take it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.licenses import canonicalize_license_expression
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from bundler.bill import bill_of
from bundler.catalog import Catalog
from bundler.contents import Contents
from bundler.errors import InputError, IntegrityError
from bundler.licenses import Licenses, is_expression, read_licenses
from bundler.lockfile import Lock
from bundler.sbom import Part, parts_of
from bundler.sbom_cyclonedx import cyclonedx_bytes
from bundler.sbom_spdx import spdx_bytes
from installer.bundle.source import Source
from tests.fakes.media import media_set
from tests.fakes.told_bundles import AMD64, ARM64, told_index, told_lock

INDEX = told_index(platforms=(AMD64, ARM64))
LOCK = told_lock(INDEX)
BUILT = Contents.of_build(LOCK, INDEX)
MAKERS = pytest.mark.parametrize("make", [spdx_bytes, cyclonedx_bytes])


def spdx_problems(document: dict[str, Any]) -> list[str]:
    """What the SPDX project's library finds wrong."""
    parsed = JsonLikeDictParser().parse(document)  # type: ignore[no-untyped-call]
    return [message.validation_message for message in validate_full_spdx_document(parsed)]


def flat(parts: tuple[Part, ...]) -> Iterator[Part]:
    for part in parts:
        yield part
        yield from flat(part.parts)


def odd(contents: Contents) -> Contents:
    """With origins that are no addresses, and a time after all calendars."""
    origins = ("https://a b/<x>", "javascript:alert(1)", "https://[::1", "urn:x", "https://a.example/ü?q=%zz#x")
    files = tuple(
        replace(item, component="kubeadm", source=Source(origin, "user", "mine"))
        for item, origin in zip(contents.files, origins, strict=False)
    )
    return replace(contents, files=files, created_seconds=2**62)


@pytest.mark.parametrize("contents", [BUILT, Contents.of_index(INDEX), Contents.of_lock(LOCK), odd(BUILT)],
                         ids=["build", "index", "lock", "odd"])  # fmt: skip
def test_the_standards_take_it(contents: Contents) -> None:
    told = JsonStrictValidator(SchemaVersion.V1_6).validate_str(cyclonedx_bytes(contents).decode())
    assert told is None, told
    assert spdx_problems(json.loads(spdx_bytes(contents))) == []


def test_the_standards_refuse_what_is_wrong() -> None:
    """The two validators do look: each finds one slip."""
    wrong = cyclonedx_bytes(BUILT).replace(b'"SHA-256"', b'"SHA-257"', 1).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(wrong) is not None
    broken = json.loads(spdx_bytes(BUILT))
    broken["relationships"][1]["relatedSpdxElement"] = "SPDXRef-nobody"
    assert spdx_problems(broken)


@MAKERS
def test_the_same_bundle_has_the_same_bytes(make: Callable[[Contents], bytes]) -> None:
    again = Lock.from_bytes(LOCK.to_bytes(), where="lock")
    assert make(Contents.of_build(again, INDEX)) == make(BUILT)
    other = told_index(platforms=(AMD64, ARM64), values={"a": 1})
    assert make(Contents.of_build(LOCK, other)) != make(BUILT), "another identity"


def test_it_lists_everything_that_is_carried() -> None:
    parts = parts_of(BUILT)
    digests = {part.digest for part in flat(parts)} | {layer.digest for part in flat(parts) for layer in part.layers}
    configs = {its.config for image in INDEX.images for its in image.platforms.values()}
    assert {blob.digest for blob in INDEX.blobs} - configs <= digests
    assert {wheel.digest for runtime in LOCK.runtimes for wheel in runtime.wheels} <= digests
    assert {runtime.digest for runtime in LOCK.runtimes} <= digests
    keys = [part.key for part in flat(parts)]
    assert len(keys) == len(set(keys))


def test_every_package_address_has_its_form() -> None:
    found = {part.name: part.purl for part in flat(parts_of(BUILT)) if part.platform in (None, str(AMD64))}
    for purl in found.values():
        assert PackageURL.from_string(purl).to_string() == purl
    assert found["runc"] == "pkg:github/opencontainers/runc@v1.3.6"
    assert found["tqdm"] == "pkg:pypi/tqdm@4.70.1"
    assert found["kubelet"].startswith("pkg:generic/kubelet@1.30.14?checksum=sha256:")
    assert found["kubelet"].endswith("&download_url=https://dl.k8s.io/release/v1.30.14/bin/linux/amd64/kubelet")
    etcd = next(part for part in parts_of(BUILT) if part.name == "registry.k8s.io/etcd")
    assert etcd.purl == (f"pkg:oci/etcd@{etcd.digest}?repository_url=registry.k8s.io/etcd&tag=3.5.15-0")


def test_licences_are_told_or_said_to_be_unknown() -> None:
    packages: list[dict[str, Any]] = json.loads(spdx_bytes(BUILT))["packages"]
    told = {package["name"]: package["licenseDeclared"] for package in packages}
    assert told["docker.io/library/haproxy"] == "GPL-2.0-or-later AND LGPL-2.1-or-later"
    assert told["tqdm"] == "MPL-2.0 AND MIT"
    assert told["registry.k8s.io/pause"] == "NOASSERTION"
    assert told["airgap-bundle"] == "Apache-2.0"


def test_the_catalogue_knows_the_licence_of_all_but_redis() -> None:
    catalog = Catalog.load()
    known = catalog.licenses()
    for kind in (known.components, known.charts, known.images, known.runtime):
        assert [text for text in kind.values() if canonicalize_license_expression(text) != text] == []
    lists = [catalog.image_list(version) or () for version in catalog.image_lists()]
    lists += [
        catalog.addon_list(kind, *name.rsplit("-", 1)) or ()
        for kind in ("cni", "addon")
        for name in catalog.addon_lists(kind)
        if name.count("-v") <= 1
    ]
    images = {reference.name for references in lists for reference in references}
    images |= {image.reference.name for image in catalog.endpoint_images()}
    assert {name for name in images - known.images.keys() if "redis" not in name} == set()
    assert set(catalog.components()) | {"kubeadm", "kubectl", "kubelet"} == set(known.components)
    assert {*catalog.offered("cni"), *catalog.offered("addon")} <= set(known.charts)


@pytest.mark.parametrize("text", ["MIT", "MPL-2.0 AND MIT", "(MIT OR Apache-2.0) AND ISC", "GPL-2.0+ WITH x-exception"])
def test_expressions(text: str) -> None:
    assert is_expression(text)


@pytest.mark.parametrize(
    "text", ["", "AND", "MIT AND", "MIT MIT", "(MIT", "MIT)", "()", "MIT/ISC", "MIT, ISC", "M" * 201, "MIT\nISC"]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    assert not is_expression(text)
    document = {"schema": 1, "images": {"a.example/b": text}}
    with pytest.raises(InputError) as caught:
        read_licenses(document, where="licenses.yaml", layer=None, below=None)
    assert "images.a.example/b" in str(caught.value.got)


def test_a_site_s_own_licences_are_laid_over() -> None:
    below = Licenses(images={"a/b": "MIT", "c/d": "ISC"})
    document = {"schema": 1, "images": {"a/b": "0BSD"}}
    assert read_licenses(document, where="x", layer=None, below=below).images == {"a/b": "0BSD", "c/d": "ISC"}


def test_a_lock_keeps_the_licences_of_what_it_carries() -> None:
    assert Lock.from_bytes(LOCK.to_bytes(), where="lock").licenses == LOCK.licenses
    without = replace(LOCK, licenses=Licenses())
    assert b"licenses" not in without.to_bytes(), "a lock from before has the bytes it had"


def test_the_bill_of_a_media_set_is_its_own(tmp_path: Path) -> None:
    folder = media_set(tmp_path / "set")
    made = bill_of(folder, "spdx")
    assert not made.is_whole, "a media set from before has none"
    own = spdx_bytes(BUILT)
    (folder / "sbom.spdx.json").write_bytes(own)
    listed = f"{BUILT.identity.of(own).hex}  sbom.spdx.json\n"
    (folder / "SHA256SUMS").write_text((folder / "SHA256SUMS").read_text() + listed)
    assert bill_of(folder, "spdx").content == own
    (folder / "sbom.spdx.json").write_bytes(own[:-1])
    with pytest.raises(IntegrityError, match="not the one that SHA256SUMS lists"):
        bill_of(folder, "spdx")
    (folder / "sbom.spdx.json").unlink()
    with pytest.raises(IntegrityError, match="sbom"):
        bill_of(folder, "spdx")
