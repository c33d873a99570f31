"""The artifact's documents: deterministic, read strictly, and no outsider's name leaves the folder."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bundler.artifact import (
    MEDIA_SET,
    ArtifactFile,
    attached_manifest,
    demand_agreement,
    demand_media_set,
    media_set_manifest,
    read_artifact,
    referrers_in,
    with_referrer,
)
from bundler.artifact_address import ArtifactAddress, parse_prefix
from bundler.errors import FormatError, InputError, IntegrityError
from installer.bundle.digest import Digest
from installer.bundle.mediatypes import OCI_MANIFEST
from installer.bundle.sums import SUMS_NAME, is_signature

IDENTITY = Digest.of(b"bundle.json")
FILES = [
    ArtifactFile.of(name, Digest.of(name.encode()), len(name))
    for name in ("install", "k.tar.zst", "bundle.json", SUMS_NAME)
]
SUMS = {file.name: file.digest for file in FILES if file.name != SUMS_NAME}


def manifest(files: list[ArtifactFile] = FILES) -> bytes:
    return media_set_manifest(files, IDENTITY, "1.30.14", 1_718_000_000)


def test_the_same_files_in_any_order_are_the_same_bytes() -> None:
    assert manifest() == manifest(FILES[::-1])
    # part of the format: a change of these bytes changes the digest that a site has written down
    assert Digest.of(manifest()) == "sha256:f8c5d321930e09bda64b1c2b4449c439d10576f9d6686a4a3a22a5832cf9168a"
    document = json.loads(manifest())
    assert (document["mediaType"], document["artifactType"]) == (OCI_MANIFEST, MEDIA_SET)
    assert document["annotations"]["org.opencontainers.image.created"] == "2024-06-10T06:13:20Z"


def test_it_reads_what_it_wrote() -> None:
    artifact = read_artifact(manifest(), "x")
    demand_media_set(artifact, "x")
    demand_agreement(artifact, SUMS, "x")
    assert set(artifact.files.values()) == set(FILES)
    assert [file.name for file in FILES if file.is_executable] == ["install"]


@pytest.mark.parametrize("name", ["../install", "/etc/passwd", "a/b", ".hidden", "", "-rf", "a\nb", None, 7, "x" * 201])
def test_no_name_of_an_outsider_leaves_the_folder(name: object) -> None:
    document = json.loads(manifest())
    document["layers"][0]["annotations"]["org.opencontainers.image.title"] = name
    with pytest.raises(FormatError):
        read_artifact(json.dumps(document).encode(), "x")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"layers": [1]}', b'{"layers": {}}', b"[" * 100_000, b"\xff"])
def test_what_is_no_artifact(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_artifact(data, "x")


@pytest.mark.parametrize("size", [-1, True, "7", None, 1.5])
def test_sizes_are_numbers(size: object) -> None:
    document = json.loads(manifest())
    document["layers"][0]["size"] = size
    with pytest.raises(FormatError):
        read_artifact(json.dumps(document).encode(), "x")


def test_two_layers_of_one_name_are_refused() -> None:
    document = json.loads(manifest())
    document["layers"].append(document["layers"][0])
    with pytest.raises(FormatError, match="one name"):
        read_artifact(json.dumps(document).encode(), "x")


def test_another_kind_of_artifact_is_named() -> None:
    document: dict[str, Any] = json.loads(manifest()) | {"artifactType": "application/vnd.cncf.helm.config.v1+json"}
    with pytest.raises(InputError, match="not a media set") as caught:
        demand_media_set(read_artifact(json.dumps(document).encode(), "x"), "x")
    assert "helm" in str(caught.value.got)


@pytest.mark.parametrize(
    ("sums", "told"),
    [
        (SUMS | {"install": IDENTITY}, "install"),
        (SUMS | {"part": IDENTITY}, "no part"),
        ({name: digest for name, digest in SUMS.items() if name != "install"}, "install"),
    ],
)
def test_layers_are_what_the_sums_list(sums: dict[str, Digest], told: str) -> None:
    with pytest.raises(IntegrityError, match="SHA256SUMS") as caught:
        demand_agreement(read_artifact(manifest(), "x"), sums, "x")
    assert told in f"{caught.value.wanted} {caught.value.got}"


def test_a_list_of_referrers_grows_by_what_is_new() -> None:
    first, second = (
        attached_manifest(ArtifactFile.of(f"SHA256SUMS.sig{end}", IDENTITY, 1), manifest(), 0) for end in ("", ".2")
    )
    one = with_referrer(None, first, "x")
    assert one is not None
    assert with_referrer(one, first, "x") is None
    two = with_referrer(one, second, "x")
    assert two is not None
    assert [entry["digest"] for entry in referrers_in(two, "x")] == [Digest.of(first), Digest.of(second)]
    for bad in (b"", b"[]", b'{"manifests": 7}', b'{"manifests": ["x"]}'):
        with pytest.raises(FormatError):
            referrers_in(bad, "x")


def test_what_is_a_signature() -> None:
    assert [
        name
        for name in ("SHA256SUMS.sig", "SHA256SUMS.sig.2", "SHA256SUMS.sig.0", "SHA256SUMS.sigx", "a.sig")
        if is_signature(name)
    ] == [
        "SHA256SUMS.sig",
        "SHA256SUMS.sig.2",
    ]


def test_an_address_and_what_it_asks_for() -> None:
    def parse(text: str) -> ArtifactAddress:
        return ArtifactAddress.parse(text, plain_http=False, has_ca=False)

    address = parse("oci://registry.plant.example:5000/site/k8s:v1")
    assert (address.site.base, address.repository, address.name) == (
        "https://registry.plant.example:5000",
        "site/k8s",
        "v1",
    )
    assert str(address) == "oci://registry.plant.example:5000/site/k8s:v1"
    both = parse(f"oci://r.example/k8s:v1@{IDENTITY}")
    assert (both.name, str(both)) == (IDENTITY, f"oci://r.example/k8s:v1@{IDENTITY}")
    assert parse(f"oci://r.example/k8s@{IDENTITY}").tag is None
    assert parse("oci://127.0.0.1:5000/k8s:v1").site.scheme == "http"
    for bad in (
        "r.example/a:1",
        "oci://r.example",
        "oci://r.example/a:",
        "oci://r.example/a@",
        "oci:///a:1",
        "oci://r.example/a:1@sha256:1",
        "oci://u@r.example/a:1",
    ):
        with pytest.raises(InputError, match="not the address"):
            parse(bad)


def test_a_prefix_for_images() -> None:
    assert parse_prefix("oci://r.example/a/b", plain_http=True, has_ca=False).prefix == "a/b"
    assert parse_prefix("oci://r.example", plain_http=False, has_ca=False).prefix == ""
    for bad in ("r.example/a", "oci://r.example/A"):
        with pytest.raises(InputError):
            parse_prefix(bad, plain_http=False, has_ca=False)
