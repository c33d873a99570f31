"""The erasure code is zfec's: each decodes what the other encoded, whatever is lost."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
import zfec
from hypothesis import given, settings
from hypothesis import strategies as st

from installer.bundle.galois import MOST_BLOCKS, decoded, encoded


def blocks_of(count: int, length_bytes: int, seed: int = 7) -> list[bytes]:
    source = random.Random(seed)  # noqa: S311 (nothing secret)
    return [source.randbytes(length_bytes) for _ in range(count)]


def encoded_by_zfec(blocks: list[bytes], parity: int) -> list[bytes]:
    data = len(blocks)
    return list(zfec.Encoder(data, data + parity).encode(blocks, list(range(data, data + parity))))


@pytest.mark.parametrize(("data", "parity"), [(k, m) for k in range(1, 7) for m in range(1, 5)])
def test_every_loss_of_a_small_set(data: int, parity: int) -> None:
    blocks = blocks_of(data, 33)
    there = [*blocks, *encoded(blocks, parity)]
    assert there[data:] == encoded_by_zfec(blocks, parity)
    for kept in combinations(range(data + parity), data):
        got = decoded({number: there[number] for number in kept}, data, parity, range(data + parity))
        assert [got[number] for number in range(data + parity)] == there
        # zfec wants a data block that is there in its own place.
        placed: dict[int, int] = {number: number for number in kept if number < data}
        free = iter(number for number in kept if number >= data)
        order = [placed[place] if place in placed else next(free) for place in range(data)]
        assert zfec.Decoder(data, data + parity).decode([there[number] for number in order], order) == blocks


@pytest.mark.parametrize(("data", "parity"), [(10, 1), (20, 3), (100, 10), (128, 127), (250, 5), (1, 254)])
def test_large_sets_are_encoded_alike(data: int, parity: int) -> None:
    blocks = blocks_of(data, 5)
    assert encoded(blocks, parity) == encoded_by_zfec(blocks, parity)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_loss_of_any_set(draw: st.DataObject) -> None:
    data = draw.draw(st.integers(1, 24), "data")
    parity = draw.draw(st.integers(1, 8), "parity")
    blocks = draw.draw(st.lists(st.binary(min_size=9, max_size=9), min_size=data, max_size=data))
    there = [*blocks, *encoded_by_zfec(blocks, parity)]
    kept = draw.draw(st.permutations(range(data + parity)))[: draw.draw(st.integers(data, data + parity))]
    lost = [number for number in range(data + parity) if number not in kept]
    got = decoded({number: there[number] for number in kept}, data, parity, lost)
    assert got == {number: there[number] for number in lost}


def test_a_short_block_ends_in_zeros() -> None:
    blocks = [b"longer block", b"short", b""]
    padded = [block.ljust(12, b"\0") for block in blocks]
    assert encoded(blocks, 2) == encoded_by_zfec(padded, 2)


def test_too_few_and_too_many_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2"):
        decoded({0: b"a"}, 2, 1, [1])
    with pytest.raises(ValueError, match="data and"):
        encoded([b"a"] * MOST_BLOCKS, 1)
