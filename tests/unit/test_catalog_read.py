"""Whatever a catalogue document holds, the answer is a value or an error that names the place: never a traceback."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.catalog import built_in_folder
from bundler.catalog_read import read_component, read_minor, read_runtime
from bundler.catalog_types import BUILT_IN
from bundler.errors import InputError
from bundler.mirrors import read_profiles
from bundler.yaml_document import parse_document, read_document
from tests.unit.catalogue_folders import sums

MANIFESTS = built_in_folder().manifests
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=2)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(SCALARS, inner, max_size=2), max_leaves=4
)
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
MIRRORS = read_document(MANIFESTS / "mirrors.yaml")


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path in ``node``, the empty one first."""
    yield path
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in children:
        yield from places(value, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of ``document`` with ``value`` at ``path``."""
    if not path:
        return value
    copied = copy.deepcopy(document)
    node = copied
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return copied


def anywhere(document: Any) -> st.SearchStrategy[Any]:
    return st.builds(changed, st.just(document), st.sampled_from(list(places(document))), VALUES)


@settings(max_examples=150, deadline=None)
@given(anywhere(MINOR), anywhere(CONTAINERD), anywhere(RUNTIME), anywhere(MIRRORS))
def test_any_change_is_read_or_named(minor: Any, component: Any, runtime: Any, mirrors: Any) -> None:
    for read, document in ((read_minor, minor), (read_component, component), (read_runtime, runtime)):
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
