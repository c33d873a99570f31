"""Image references: completed as container clients do, refused with what was wanted."""

from __future__ import annotations

import pytest

from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.reference import Reference

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("flannel/flannel:v0.26", "docker.io/flannel/flannel:v0.26"),
        ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
        ("index.docker.io/busybox:1", "docker.io/library/busybox:1"),
        (f"quay.io/a/b@sha256:{HEX}", f"quay.io/a/b@sha256:{HEX}"),
        (f"quay.io/a/b:v1@sha256:{HEX}", f"quay.io/a/b:v1@sha256:{HEX}"),
    ],
)
def test_completes_short_names(text: str, canonical: str) -> None:
    assert str(Reference.parse(text)) == canonical
    assert Reference.parse(canonical) == Reference.parse(text)


@pytest.mark.parametrize("text", ["", "UPPER/case:1", "a//b:1", "a/b:", "a/b@", "a/b@sha256:12", "a b", "-x/y:1"])
def test_refuses_what_no_registry_would_take(text: str) -> None:
    with pytest.raises(FormatError):
        Reference.parse(text)


def test_a_pinned_name_never_carries_the_tag() -> None:
    reference = Reference.parse(f"quay.io/a/b:v1@sha256:{HEX}")
    assert reference.pinned(Digest(f"sha256:{HEX}")) == f"quay.io/a/b@sha256:{HEX}"
    assert reference.tagged == "quay.io/a/b:v1"
