"""Image manifests as registries serve them: what is read, what is refused, and what merely is not looked at."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bundler.errors import FormatError
from bundler.sources.manifests import MOST_ENTRIES, ImageIndex, ImageManifest, config_platform, parse_manifest
from installer.bundle.digest import Digest
from installer.bundle.mediatypes import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
)
from installer.bundle.platform import Platform

AMD64 = Platform("linux/amd64")
ARM64 = Platform("linux/arm64")
ZSTD_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"


def _descriptor(name: str, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": Digest.of(name.encode()), "size": len(name), **more}


def _manifest(config_type: str = OCI_CONFIG, layer_type: str = ZSTD_LAYER, **more: Any) -> dict[str, Any]:
    config, layers = _descriptor("config", config_type), [_descriptor("layer", layer_type)]
    return {"schemaVersion": 2, "config": config, "layers": layers, **more}


def _index(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "manifests": list(entries), **more}


def _entry(os: str, architecture: str, variant: str = "", media_type: str = OCI_MANIFEST) -> dict[str, Any]:
    platform = {"os": os, "architecture": architecture} | ({"variant": variant} if variant else {})
    return _descriptor(f"{os}{architecture}{variant}", media_type, platform=platform)


def _parse(document: object, content_type: str = "") -> ImageIndex | ImageManifest:
    return parse_manifest(json.dumps(document).encode(), content_type, where="here")


@pytest.mark.parametrize(
    ("document", "content_type", "media_type"),
    [
        (_manifest(), OCI_MANIFEST, OCI_MANIFEST),
        (_manifest(), f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST),
        (_manifest(mediaType=OCI_MANIFEST), "application/json", OCI_MANIFEST),
        (_manifest(), "application/octet-stream", OCI_MANIFEST),
        (_manifest(DOCKER_CONFIG, mediaType=DOCKER_MANIFEST), DOCKER_MANIFEST, DOCKER_MANIFEST),
        (_index(), OCI_INDEX, OCI_INDEX),
        (_index(), "", OCI_INDEX),
        (_index(mediaType=DOCKER_INDEX), DOCKER_INDEX, DOCKER_INDEX),
    ],
)
def test_the_media_type_is_what_the_bytes_or_the_registry_say(
    document: dict[str, Any], content_type: str, media_type: str
) -> None:
    parsed = _parse(document, content_type)
    assert parsed.media_type == media_type
    assert isinstance(parsed, ImageIndex if media_type in (OCI_INDEX, DOCKER_INDEX) else ImageManifest)


def test_layers_keep_their_order_and_media_type() -> None:
    layers = [_descriptor(name, ZSTD_LAYER) for name in ("b", "a", "c")]
    parsed = _parse(_manifest() | {"layers": layers})
    assert isinstance(parsed, ImageManifest)
    assert [layer.digest for layer in parsed.layers] == [Digest.of(name) for name in (b"b", b"a", b"c")]
    assert {layer.media_type for layer in parsed.layers} == {ZSTD_LAYER}


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ([], "not an image manifest"),
        ({"schemaVersion": 1, "fsLayers": []}, "Docker schema 1"),
        (_index() | {"layers": []}, "an index as well"),
        (_index() | {"config": {}}, "an index as well"),
        (_manifest("application/vnd.cncf.helm.config.v1+json"), "an artifact"),
        (_manifest(layer_type="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "may not distribute"),
        (_manifest(mediaType="application/vnd.oci.artifact.manifest.v1+json"), "not a container image"),
        ({"schemaVersion": 2}, "not an image manifest"),
        (_manifest() | {"layers": [{"digest": "sha512:00", "size": 1, "mediaType": "x"}]}, "not an image manifest"),
        (_manifest() | {"config": _descriptor("c", OCI_CONFIG) | {"size": -1}}, "not an image manifest"),
        (_manifest() | {"config": _descriptor("c", OCI_CONFIG) | {"size": True}}, "not an image manifest"),
        (_manifest() | {"config": _descriptor("c", OCI_CONFIG) | {"digest": "../../x"}}, "not an image manifest"),
        (_index(*[_entry("linux", "amd64")] * (MOST_ENTRIES + 1)), "not an image manifest"),
    ],
)
def test_refuses_what_is_not_an_image(document: object, what: str) -> None:
    with pytest.raises(FormatError, match=what) as caught:
        _parse(document)
    assert caught.value.where == "here"


def test_refuses_bytes_that_are_not_json() -> None:
    for data in (b"<html>", b"\xff", b"[" * 100_000):
        with pytest.raises(FormatError, match="not an image manifest"):
            parse_manifest(data, "text/plain", where="here")


def test_refuses_a_media_type_that_contradicts_the_header() -> None:
    with pytest.raises(FormatError, match="not a container image"):
        _parse(_manifest(mediaType=OCI_MANIFEST), OCI_INDEX)


def test_entries_of_unknown_media_types_are_left_out() -> None:
    parsed = _parse(_index(_entry("linux", "amd64"), _entry("linux", "amd64", media_type="application/vnd.new+json")))
    assert isinstance(parsed, ImageIndex)
    assert len(parsed.entries) == 1


def test_attestations_and_unknown_platforms_are_for_no_machine() -> None:
    attested = _entry("linux", "amd64") | {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    parsed = _parse(_index(_entry("unknown", "unknown"), attested, _entry("linux", "amd64")))
    assert isinstance(parsed, ImageIndex)
    assert [entry.is_unknown for entry in parsed.entries] == [True, True, False]


@pytest.mark.parametrize(
    ("entry", "platform", "fits"),
    [
        (_entry("linux", "amd64"), AMD64, True),
        (_entry("linux", "amd64", "v1"), AMD64, True),
        (_entry("linux", "amd64", "v3"), AMD64, False),
        (_entry("linux", "arm64"), ARM64, True),
        (_entry("linux", "arm64", "v8"), ARM64, True),
        (_entry("linux", "arm64", "v9"), ARM64, False),
        (_entry("linux", "arm", "v7"), ARM64, False),
        (_entry("windows", "amd64"), AMD64, False),
        (_entry("linux", "arm64"), AMD64, False),
    ],
)
def test_an_entry_fits_a_platform_when_every_machine_of_it_runs_it(
    entry: dict[str, Any], platform: Platform, fits: bool
) -> None:
    parsed = _parse(_index(entry))
    assert isinstance(parsed, ImageIndex)
    assert parsed.entries[0].fits(platform) is fits


def test_the_config_says_its_platform() -> None:
    assert config_platform(b'{"os": "linux", "architecture": "arm64", "variant": "v8"}', where="here") == ARM64
    for architecture, variant in (("amd64", "v3"), ("arm64", "v9"), ("arm", "v7")):
        config = json.dumps({"os": "linux", "architecture": architecture, "variant": variant}).encode()
        assert config_platform(config, where="here") == f"linux/{architecture}/{variant}"
    for data in (b"{}", b"[]", b"<html>", b'{"os": "linux", "architecture": []}'):
        with pytest.raises(FormatError, match="not an image config"):
            config_platform(data, where="here")


def test_an_entry_of_an_index_may_say_that_it_is_an_artifact() -> None:
    parsed = _parse(_index(_entry("linux", "amd64"), _descriptor("s", OCI_MANIFEST, artifactType="application/vnd.s")))
    assert isinstance(parsed, ImageIndex)
    assert [entry.is_artifact for entry in parsed.entries] == [False, True]
