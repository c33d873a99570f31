"""The lock: whatever one holds comes back from its bytes, and nothing else is taken for a lock."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import FormatError
from bundler.lockfile import RUNTIME_KINDS, Lock, LockedRuntime, LockedWheel
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import BundledFile, BundledImage, Pause, PlatformImage
from installer.bundle.placement import Placement
from installer.bundle.platform import ARCHITECTURES, Platform
from installer.bundle.reference import Reference
from installer.bundle.source import TRUSTS, Source
from tests.unit.document_changes import anywhere

TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)
SIZES = st.integers(0, 2**63 - 1)
DIGESTS = st.binary(max_size=4).map(Digest.of)
PLATFORMS = st.sampled_from([Platform(f"linux/{architecture}") for architecture in ARCHITECTURES])
NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
ROLES = st.sampled_from([("cp",), ("worker",), ("cp", "worker")])
SOURCES = st.builds(Source, TEXTS, st.sampled_from(TRUSTS), TEXTS)
REFERENCES = st.builds(Reference, st.just("registry.example:5000"), NAMES, NAMES)
PATHS = NAMES.map("/usr/local/bin/{}".format)
MODES = st.sampled_from([0o755, 0o700, 0o644, 0o400])
PLACEMENTS = st.one_of(
    st.builds(Placement, MODES, PATHS),
    st.builds(
        Placement,
        MODES,
        st.none(),
        st.just("tar+gzip"),
        st.dictionaries(NAMES, PATHS, min_size=1, max_size=2),
    ),
)
IMAGES = st.builds(PlatformImage, DIGESTS, DIGESTS, st.lists(DIGESTS, max_size=2).map(tuple))


def tuples(values: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=most).map(tuple)


RUNTIMES = st.builds(
    LockedRuntime,
    st.sampled_from(RUNTIME_KINDS),
    PLATFORMS,
    TEXTS,
    TEXTS,
    DIGESTS,
    SIZES,
    tuples(st.builds(LockedWheel, TEXTS, TEXTS, TEXTS, DIGESTS)),
    st.sampled_from(TRUSTS),
    st.none() | TEXTS,
)


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    """Any lock that is whole."""
    platforms = tuple(sorted(draw(st.sets(PLATFORMS, min_size=1))))
    fixed = st.fixed_dictionaries(dict.fromkeys(platforms, IMAGES))
    image = st.builds(BundledImage, REFERENCES, DIGESTS, TEXTS, ROLES, fixed, SOURCES)
    images = draw(st.lists(image, min_size=1, max_size=2))
    file = st.builds(BundledFile, NAMES, TEXTS, st.sampled_from(platforms), DIGESTS, ROLES, PLACEMENTS, SOURCES)
    files = draw(st.lists(file, max_size=2))
    named = {item.blob for item in files} | {blob for item in images for blob in item.blobs()}
    return Lock(
        kubernetes=draw(st.sampled_from(["1.30.14", "1.28.0"])),
        platforms=platforms,
        cni=draw(TEXTS),
        created_seconds=draw(SIZES),
        zstd=draw(TEXTS),
        pause=Pause(images[0].reference, draw(st.sampled_from(["kubeadm", "catalogue"]))),
        runtimes=tuple(replace(draw(RUNTIMES), platform=platform) for platform in platforms),
        files=tuple(files),
        images=tuple(images),
        blobs=tuple(Descriptor(digest, draw(SIZES), draw(TEXTS), draw(st.none() | SIZES)) for digest in sorted(named)),
    )


AMD64, ARM64 = (Platform("linux/amd64"), Platform("linux/arm64"))
RUNTIME = LockedRuntime("host", AMD64, "3.11", "here", Digest.of(b""), 1)
LAYER, OTHER = Descriptor(Digest.of(b"layer"), 5, "layer"), Descriptor(Digest.of(b"other"), 5, "layer")
PAUSE = BundledImage(
    Reference.parse("registry.k8s.io/pause:3.9"),
    LAYER.digest,
    "pause",
    ("cp",),
    {AMD64: PlatformImage(LAYER.digest, LAYER.digest, (LAYER.digest,))},
    Source("registry.k8s.io/pause:3.9", "first-seen"),
)
LOCK = Lock(
    "1.30.14", (AMD64,), "none", 0, "1.5.7", Pause(PAUSE.reference, "kubeadm"), (RUNTIME,), (), (PAUSE,), (LAYER,)
)


@settings(max_examples=60, deadline=None)
@given(locks())
def test_a_lock_comes_back_from_its_bytes(lock: Lock) -> None:
    data = lock.to_bytes()
    again = Lock.from_bytes(data, where="lock")
    assert again == lock
    assert again.to_bytes() == data


WHEEL = LockedWheel("click", "8", "click-8.whl", Digest.of(b"wheel"))
TOOL = BundledFile(
    "helm",
    "1",
    AMD64,
    LAYER.digest,
    ("cp",),
    Placement(0o755, None, "tar+gzip", {"helm": "/usr/local/bin/helm"}),
    PAUSE.source,
)
FULL = replace(LOCK, runtimes=(replace(RUNTIME, wheels=(WHEEL,)),), files=(TOOL,))


@settings(max_examples=150, deadline=None)
@given(anywhere(FULL.to_dict()))
def test_any_change_is_read_or_named(document: Any) -> None:
    try:
        Lock.from_bytes(json.dumps(document, default=repr, skipkeys=True).encode(), where="the lock")
    except FormatError as error:
        assert error.where == "the lock"


def test_the_lock_of_a_newer_builder_says_so() -> None:
    with pytest.raises(FormatError, match="newer builder"):
        Lock.from_bytes(json.dumps(LOCK.to_dict() | {"schema": 2}).encode(), where="lock")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff", b'{"schema": true}', b'{"schema": 1}'])
def test_what_is_no_lock_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        Lock.from_bytes(data, where="the lock")
    assert caught.value.where == "the lock"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"extra": 1}, "extra: unknown field"),
        ({"platforms": ["linux/s390x"]}, "platforms[0]: unknown platform"),
        ({"created_seconds": -1}, "created_seconds"),
        ({"runtimes": [RUNTIME.to_dict() | {"kind": "conda"}]}, "runtimes[0].kind: wanted one of"),
        ({"runtimes": [RUNTIME.to_dict() | {"trust": "mine"}]}, "runtimes[0].trust: wanted one of"),
        ({"runtimes": [RUNTIME.to_dict() | {"digest": "md5:00"}]}, "runtimes[0].digest: not a SHA-256 digest"),
        ({"pause": {"reference": "pause", "told_by": "rumour"}}, "pause.told_by: wanted one of"),
    ],
)
def test_every_problem_has_its_path(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(FormatError) as caught:
        Lock.from_bytes(json.dumps(LOCK.to_dict() | change).encode(), where="lock")
    assert problem in (caught.value.got or "")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kubernetes": "../../1.30.14"}, "kubernetes: wanted a version like 1.30.14"),
        ({"platforms": (), "runtimes": ()}, "platforms: wanted at least one"),
        ({"platforms": (AMD64, AMD64), "runtimes": (RUNTIME, RUNTIME)}, "platforms: wanted at least one, each once"),
        ({"runtimes": ()}, "runtimes: wanted one for each platform"),
        ({"runtimes": (replace(RUNTIME, platform=ARM64),)}, "runtimes: wanted one for each platform"),
        ({"pause": Pause(Reference.parse("registry.k8s.io/pause:3.8"), "kubeadm")}, "is not among the images"),
        ({"blobs": (LAYER, LAYER)}, "blobs: a digest is listed twice"),
        ({"blobs": ()}, f"blobs: {LAYER.digest} is named but not listed"),
        ({"blobs": (LAYER, OTHER)}, f"blobs: {OTHER.digest} is listed but not named"),
        ({"platforms": (AMD64, ARM64)}, "images: registry.k8s.io/pause:3.9 has other platforms"),
        (
            {
                "files": (
                    BundledFile(
                        "runc",
                        "1",
                        ARM64,
                        LAYER.digest,
                        ("cp",),
                        Placement(0o755, "/usr/local/sbin/runc"),
                        PAUSE.source,
                    ),
                )
            },
            "files: runc is for linux/arm64",
        ),
    ],
)
def test_a_lock_whose_parts_do_not_fit_is_refused(change: dict[str, Any], problem: str) -> None:
    assert Lock.from_bytes(LOCK.to_bytes(), where="lock") == LOCK
    with pytest.raises(FormatError) as caught:
        Lock.from_bytes(replace(LOCK, **change).to_bytes(), where="lock")
    assert problem in (caught.value.got or "")
