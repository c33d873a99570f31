"""The lock: whatever one holds comes back from its bytes, and nothing else is taken for a lock."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import FormatError
from bundler.lockfile import RUNTIME_KINDS, Lock, LockedRuntime, LockedWheel
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import TRUSTS, BundledFile, BundledImage, Pause, Placement, PlatformImage, Source
from installer.bundle.platform import ARCHITECTURES, Platform
from installer.bundle.reference import Reference

TEXTS = st.text(min_size=1, max_size=12)
SIZES = st.integers(0, 2**63 - 1)
DIGESTS = st.binary(max_size=4).map(Digest.of)
PLATFORMS = st.sampled_from([Platform(f"linux/{architecture}") for architecture in ARCHITECTURES])
NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
ROLES = st.sampled_from([("cp",), ("worker",), ("cp", "worker")])
SOURCES = st.builds(Source, TEXTS, st.sampled_from(TRUSTS), TEXTS)
REFERENCES = st.builds(Reference, st.just("registry.example:5000"), NAMES, NAMES)
PATHS = NAMES.map(lambda name: f"/opt/{name}")
PLACEMENTS = st.one_of(
    st.builds(Placement, st.integers(0, 0o777), PATHS),
    st.builds(
        Placement,
        st.integers(0, 0o777),
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
LOCKS = st.builds(
    Lock,
    kubernetes=TEXTS,
    platforms=tuples(PLATFORMS),
    cni=TEXTS,
    created_seconds=SIZES,
    zstd=TEXTS,
    pause=st.builds(Pause, REFERENCES, st.sampled_from(["kubeadm", "catalogue"])),
    runtimes=tuples(RUNTIMES),
    files=tuples(st.builds(BundledFile, TEXTS, TEXTS, PLATFORMS, DIGESTS, ROLES, PLACEMENTS, SOURCES)),
    images=tuples(
        st.builds(
            BundledImage, REFERENCES, DIGESTS, TEXTS, ROLES, st.dictionaries(PLATFORMS, IMAGES, max_size=2), SOURCES
        )
    ),
    blobs=tuples(st.builds(Descriptor, DIGESTS, SIZES, TEXTS, st.none() | SIZES)),
)
RUNTIME = LockedRuntime("host", Platform("linux/amd64"), "3.11", "here", Digest.of(b""), 1)
LOCK = Lock(
    "1.30.14",
    (Platform("linux/amd64"),),
    "none",
    0,
    "1.5.7",
    Pause(Reference.parse("registry.k8s.io/pause:3.9"), "kubeadm"),
    (RUNTIME,),
    (),
    (),
    (),
)


@settings(max_examples=60, deadline=None)
@given(LOCKS)
def test_a_lock_comes_back_from_its_bytes(lock: Lock) -> None:
    data = lock.to_bytes()
    again = Lock.from_bytes(data, where="lock")
    assert again == lock
    assert again.to_bytes() == data


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
