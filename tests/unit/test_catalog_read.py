"""Whatever a catalogue document holds, the answer is a value or an error that names the place: never a traceback."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from bundler.addon_read import read_addon
from bundler.catalog_folders import built_in_folder
from bundler.catalog_read import read_component, read_minor, read_runtime
from bundler.catalog_types import BUILT_IN
from bundler.errors import InputError
from bundler.mirrors import read_profiles
from bundler.yaml_document import parse_document, read_document
from tests.unit.catalogue_folders import sums
from tests.unit.document_changes import anywhere

MANIFESTS = built_in_folder().manifests
MINOR = {
    **read_document(MANIFESTS / "kubernetes" / "v1.36.yaml"),
    "releases": {"1.36.0": {"images": {"coredns": "v1", "etcd": "3", "pause": "4"}, "sha256": {"kubeadm": sums("a")}}},
}
CONTAINERD = {
    **read_document(MANIFESTS / "components" / "containerd.yaml"),
    "versions": {
        "2.3.4": {
            "sha256": sums("a"),
            "containerd": {"config_schema": 4, "sandbox": "registry.k8s.io/pause:3.10.2", "runc": "1.4.3"},
        }
    },
}
RUNTIME = read_document(MANIFESTS / "runtime.yaml")
FLANNEL = {
    **read_document(MANIFESTS / "cni" / "flannel.yaml"),
    "versions": {"v0.28.9": {"sha256": "a" * 64, "images": ["ghcr.io/flannel-io/flannel:v0.28.9"]}, "v0.28.8": {}},
}
MIRRORS = read_document(MANIFESTS / "mirrors.yaml")


@settings(max_examples=150, deadline=None)
@given(anywhere(MINOR), anywhere(CONTAINERD), anywhere(FLANNEL), anywhere(RUNTIME), anywhere(MIRRORS))
def test_any_change_is_read_or_named(minor: Any, component: Any, addon: Any, runtime: Any, mirrors: Any) -> None:
    documents = ((read_minor, minor), (read_component, component), (read_addon, addon), (read_runtime, runtime))
    for read, document in documents:
        try:
            read(document, where="the place", layer=BUILT_IN, below=None)
        except InputError as error:
            assert error.where == "the place"
    try:
        read_profiles(mirrors, where="the place")
    except InputError as error:
        assert error.where == "the place"


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: 1\n--- \nb: 2",
        "\tx",
        "? [a]\n: b",
        "a: &x [*x",
        "!!python/object:os.system {}",
        "[" * 5000,
        "a: 1\na: 2",
    ],
)
def test_text_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_document(text, where="the place")
    assert caught.value.where == "the place"
