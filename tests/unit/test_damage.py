"""Every kind of damage to a media set gets its right answer, from ``verify`` and from ``install``, and at once.

The figures here are those of docs/reliability.md.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from bundler.assemble import assemble
from bundler.measure import UnpackedSizes
from installer.bundle import layout, seekable
from installer.bundle.digest import Digest
from installer.bundle.layout import INDEX_NAME
from installer.bundle.reader import open_media_set
from installer.bundle.sums import SUMS_NAME
from installer.bundle.verify import Verified, verify
from installer.config import ClusterConfig
from installer.errors import InputError, IntegrityError, OperatorError
from installer.facts import gather
from installer.install import Request, install, prepare
from installer.medium import judge_medium, open_bundle
from installer.node import Node
from installer.reading import needed_blobs, read_without_spool
from installer.report import TextReport
from installer.trust import Demand
from tests.fakes.debian import debian
from tests.fakes.harm import Spot, answer_of, changed, contents_of, flipped, remade
from tests.fakes.images import AMD64, ARM64, small_parts
from tests.fakes.node import FakeNode

FLIPS = 2000
CUTS = 200
INSTALL = b"#!/bin/sh\n# a launcher\n" + bytes(range(256)) * 8
LAYERS = ("registry", "dense")


UNSIGNED = Demand(allow_unsigned=True)


class Silent:
    """A report nobody reads."""

    def verifying(self, _total_bytes: int) -> Callable[[int], None]:
        return lambda _read_bytes: None

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_words: None


class Untouchable:
    """A strict fake node of which nothing but looking is to be had."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        assert name not in ("write_file", "place", "make_dir", "symlink", "remove", "remove_tree", "run", "sleep"), name
        return getattr(self._node, name)


@dataclass
class Bench:
    """A media set, and a machine that is to be left alone."""

    folder: Path
    unread: int = 0
    """How often a harm was in what ``install`` does not read."""
    node: Node = field(default_factory=lambda: cast("Node", Untouchable(debian().node)))

    @property
    def tarball(self) -> str:
        return next(path.name for path in self.folder.iterdir() if path.name.endswith(".tar.zst"))

    def verified(self) -> Verified:
        with open_media_set(self.folder) as bundle:
            return verify(bundle)

    def refused(self, *, harms: int = 1) -> OperatorError:
        """What ``verify`` says; ``install`` says the same, or finds whole all that it takes.

        Of several ``harms`` it may name another one, as it does not read all that ``verify`` reads.
        """
        with pytest.raises(OperatorError) as by_verify:
            self.verified()
        error = by_verify.value
        try:
            trust = judge_medium(self.folder, self.node, UNSIGNED)
            with open_bundle(self.folder, self.node, trust) as bundle:
                prepare(self.node, Request("cp", self.folder), bundle, Silent(), trust=trust)
        except OperatorError as by_install:
            assert by_install.to_dict() == error.to_dict() if harms == 1 else answer_of(by_install)
        else:
            self.unread += 1
            assert self.takes_what_is_whole(), error.lines()
        assert error.where and error.next_step
        return error

    def takes_what_is_whole(self) -> bool:
        """Whether each blob that a control plane needs has its digest, whatever the rest of the medium is like."""
        with open_media_set(self.folder) as bundle:
            needed = needed_blobs(bundle.index, "cp", AMD64, ClusterConfig())
            return all(Digest.of(b"".join(bundle.chunks(digest))) == digest for digest in needed)


@pytest.fixture(scope="module", params=LAYERS)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Both kinds of bundle, in frames so small that there are many of each kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seekable, "MAXIMUM_SMALL_BYTES", 5000)
        patch.setattr(layout, "FRAME_BYTES", 4096)
        patch.setattr("installer.bundle.pack.FRAME_BYTES", 4096)
        patch.setattr(layout, "LONG_FRAME_BYTES", 5 * 4096)
        patch.setattr("installer.install.gather", cache(gather))  # the machine stays as it is
        root = tmp_path_factory.mktemp(request.param)
        parts = small_parts(large_bytes=6000)
        lock = replace(parts.lock(), layers=request.param)
        media = assemble(lock, parts.store, INSTALL, root, sizes=UnpackedSizes(root / "sizes"), jobs=1)
        yield Bench(media.folder)


def where_of(bench: Bench, name: str) -> str:
    """The file that an answer about ``name`` must speak of."""
    return str(bench.folder / name)


def test_every_flipped_bit_is_named(bench: Bench) -> None:
    """2,000 bits anywhere in the media set, each file by its size: all caught, and never called anything but damage."""
    sizes = {path.name: path.stat().st_size for path in sorted(bench.folder.iterdir())}
    chance = random.Random(6)  # noqa: S311 - the same every time, not a secret
    caught: Counter[str] = Counter()
    bench.unread = 0
    for _ in range(FLIPS):
        (name,) = chance.choices(list(sizes), list(sizes.values()))
        offset_bytes = chance.randrange(sizes[name])
        with flipped(bench.folder, Spot(name, offset_bytes, chance.randrange(8))):
            error = bench.refused()
        assert answer_of(error) == "damaged", (name, offset_bytes, error.lines())
        assert (error.where or "").startswith(where_of(bench, name)), (name, offset_bytes, error.lines())
        caught[name] += 1
    assert sum(caught.values()) == FLIPS
    assert set(caught) == set(sizes)
    assert bench.unread <= FLIPS // 10, "what an install does not read is a small part of it"
    bench.verified()


def test_every_bit_of_the_sums_is_read(bench: Bench) -> None:
    """All of them: a list that no longer says the truth is what is damaged, and not the files it speaks of."""
    for position in range((bench.folder / SUMS_NAME).stat().st_size * 8):
        spot = Spot(SUMS_NAME, position // 8, position % 8)
        with flipped(bench.folder, spot), pytest.raises(IntegrityError) as caught:
            bench.verified()
        assert answer_of(caught.value) == "damaged", (position, caught.value.lines())
        assert (caught.value.where or "").startswith(where_of(bench, SUMS_NAME)), (position, caught.value.lines())


def test_every_cut_is_named(bench: Bench) -> None:
    """200 lengths of the tarball, the empty one and all within the last frame's and the table's bytes among them."""
    whole = (bench.folder / bench.tarball).read_bytes()
    chance = random.Random(7)  # noqa: S311 - the same every time, not a secret
    lengths = [0, 1, 2, 3, 4, *range(len(whole) - 60, len(whole))]
    lengths += [chance.randrange(5, len(whole) - 60) for _ in range(CUTS - len(lengths))]
    assert len(lengths) == CUTS
    for length_bytes in lengths:
        with changed(bench.folder, {bench.tarball: whole[:length_bytes]}):
            error = bench.refused()
        assert answer_of(error) == "cut short", (length_bytes, error.lines())
        assert str(length_bytes) in str(error.got)


@pytest.mark.parametrize("name", ["install", SUMS_NAME])
def test_other_files_that_are_cut_are_damaged(bench: Bench, name: str) -> None:
    whole = (bench.folder / name).read_bytes()
    for length_bytes in range(len(whole)) if name == SUMS_NAME else range(0, len(whole), 97):
        with changed(bench.folder, {name: whole[:length_bytes]}):
            error = bench.refused()
        assert answer_of(error) == "damaged", (length_bytes, error.lines())
        assert (error.where or "").startswith(where_of(bench, name)), error.lines()


def test_a_tail_of_zeros_is_a_cut(bench: Bench) -> None:
    """What a copy leaves that was given its whole size beforehand, and then interrupted."""
    whole = (bench.folder / bench.tarball).read_bytes()
    for kept_bytes in (len(whole) // 3, len(whole) - 1000):
        with changed(bench.folder, {bench.tarball: whole[:kept_bytes].ljust(len(whole), b"\0")}):
            assert answer_of(bench.refused()) == "cut short"
    with changed(bench.folder, {bench.tarball: whole + b"\0" * 512}):
        assert answer_of(bench.refused()) == "longer"


def test_a_file_that_is_not_there_is_missing(bench: Bench) -> None:
    for name in ("install", "bundle.json", bench.tarball):
        with changed(bench.folder, {name: None}):
            error = bench.refused()
        assert answer_of(error) == "missing"
        assert name in str(error.got)
    with changed(bench.folder, {SUMS_NAME: None}):
        error = bench.refused()
    assert answer_of(error) == "missing"
    assert SUMS_NAME in str(error.got)


def test_a_renamed_file_is_said_to_be_so(bench: Bench) -> None:
    install = (bench.folder / "install").read_bytes()
    with changed(bench.folder, {"install": None, "install (1)": install}):
        error = bench.refused()
    assert answer_of(error) == "missing"
    assert error.got == "all but install; not among them: install (1)"
    tarball = bench.tarball
    whole = (bench.folder / tarball).read_bytes()
    with changed(bench.folder, {tarball: None, "K8S-V1~1.tar.zst": whole}):
        error = bench.refused()
    assert answer_of(error) == "renamed"
    assert (error.wanted, error.got) == (tarball, "K8S-V1~1.tar.zst")
    with changed(bench.folder, {tarball: None, tarball.removesuffix(".zst"): whole}):
        assert answer_of(bench.refused()) == "missing"


def test_a_file_too_many_is_named_and_does_no_harm(bench: Bench) -> None:
    extra = {"join.yaml": b"x", "install.bak": b"x", f"another-{bench.tarball}": b"x"}
    with changed(bench.folder, dict(extra)):
        assert bench.verified().unexpected == tuple(sorted(extra))
        lines: list[str] = []
        report = TextReport(lines.append, meter=lambda _bytes: (lambda _read: None, lambda: None))
        with open_bundle(bench.folder, bench.node, judge_medium(bench.folder, bench.node, UNSIGNED)) as bundle:
            read_without_spool(bundle, (), report)
    told = " ".join(" ".join(lines).split())
    assert f"on the medium and not in SHA256SUMS, so not proven: another-{bench.tarball}, install.bak" in told


def test_members_of_a_tarball_that_are_others_are_named(bench: Bench) -> None:
    """Tarballs made anew, with sums that fit them: only ``bundle.json`` can tell."""
    with open_media_set(bench.folder) as bundle:
        members = contents_of(bundle)
        layers = {layer.diff_id for layer in bundle.index.layers} | {
            layer for image in bundle.index.images for its in image.platforms.values() for layer in its.layers
        }
    first, second = [place for place, (name, _) in enumerate(members) if f"sha256:{name[-64:]}" in layers][:2]
    swapped, reordered, renamed = list(members), list(members), list(members)
    swapped[first] = (members[first][0], members[second][1])
    swapped[second] = (members[second][0], members[first][1])
    reordered[first], reordered[second] = members[second], members[first]
    renamed[first] = ("blobs/sha256/" + "0" * 64, members[first][1])
    harms = {
        "swapped": (swapped, {"damaged", "other members"}),
        "reordered": (reordered, {"damaged", "other members"}),
        "renamed": (renamed, {"damaged", "other members"}),
        "dropped": (members[:first] + members[first + 1 :], {"other members"}),
        "added": ([*members, ("blobs/sha256/" + "0" * 64, b"more")], {"other members"}),
        "twice": ([*members, members[-1]], {"other members"}),
    }
    for harm, (made, answers) in harms.items():
        with changed(bench.folder, remade(bench.folder, made)):
            assert answer_of(bench.refused(harms=2)) in answers, harm


def test_every_two_members_that_change_places_are_noticed(bench: Bench) -> None:
    """Each pair of neighbours, headers and all, in a tarball that is whole as such."""
    with open_media_set(bench.folder) as bundle:
        members = contents_of(bundle)
    for place in range(1, len(members) - 1):
        made = [*members[:place], members[place + 1], members[place], *members[place + 2 :]]
        with changed(bench.folder, remade(bench.folder, made)):
            assert answer_of(bench.refused(harms=2)) in ("damaged", "other members"), place


def test_another_platform_and_a_newer_builder_are_not_damage(bench: Bench) -> None:
    node = bench.node
    with open_media_set(bench.folder) as bundle:
        members, index = contents_of(bundle), bundle.index
    newer = members[0][1].replace(b'"schema": 1', b'"schema": 2')
    with changed(bench.folder, remade(bench.folder, [(INDEX_NAME, newer), *members[1:]])):
        assert answer_of(bench.refused()) == "newer builder"
    later = replace(index, minimum_installer="99.0.0").to_bytes()
    foreign = replace(index, platforms=(ARM64,)).to_bytes()
    for raw, answer in ((later, "newer builder"), (foreign, "wrong platform")):
        made = remade(bench.folder, [(INDEX_NAME, raw), *members[1:]])
        with (
            changed(bench.folder, made),
            pytest.raises(InputError) as caught,
            open_bundle(bench.folder, node, trust := judge_medium(bench.folder, node, UNSIGNED)) as bundle,
        ):
            prepare(node, Request("cp", bench.folder), bundle, Silent(), trust=trust)
        assert answer_of(caught.value) == answer


def test_an_install_of_a_damaged_set_opens_no_journal(bench: Bench, tmp_path: Path) -> None:
    """The whole verb, and not only its preparation."""
    size_bytes = (bench.folder / bench.tarball).stat().st_size
    refused: Counter[type[OperatorError]] = Counter()
    for offset_bytes in range(0, size_bytes, size_bytes // 40):
        with flipped(bench.folder, Spot(bench.tarball, offset_bytes, 0)), pytest.raises(OperatorError) as caught:
            install(bench.node, Request("cp", bench.folder, demand=UNSIGNED), Silent(), tmp_path / "journal")
        refused[type(caught.value)] += 1
    assert refused[InputError] <= 4, "a harm in what it does not read; there is no runc in this bundle"
    assert not (tmp_path / "journal").exists()
