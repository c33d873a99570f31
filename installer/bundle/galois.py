"""Erasure code over GF(256): the systematic Vandermonde code of zfec, byte for byte, on the standard library alone.

``data`` blocks of one length give ``parity`` further blocks, and any ``data`` of all of them give the others back.
A block is multiplied through :meth:`bytes.translate` and added by XOR of whole integers, at the speed of C; memory is a
few blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

MOST_BLOCKS = 255
"""Data and parity together; beyond that the code has no more numbers."""
_POLYNOMIAL = 0x11D


def _powers() -> list[int]:
    """2 to the power of 0 to 254: every number but 0, once."""
    found, value = [], 1
    for _ in range(255):
        found.append(value)
        value <<= 1
        if value & 0x100:
            value ^= _POLYNOMIAL
    return found


_EXP = _powers()
_LOG = {value: power for power, value in enumerate(_EXP)}


@cache
def _times(factor: int) -> bytes:
    """What :meth:`bytes.translate` needs to multiply every byte by ``factor``."""
    if not factor:
        return bytes(256)
    return bytes([0, *(_EXP[(_LOG[factor] + _LOG[value]) % 255] for value in range(1, 256))])


def _add(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(len(left), "little")


def _inverted(rows: Sequence[bytes]) -> list[bytes]:
    """The inverse of a square matrix, by Gauss and Jordan; rows of a Vandermonde code are never dependent."""
    size = len(rows)
    work = [bytes(row) + bytes(int(column == number) for column in range(size)) for number, row in enumerate(rows)]
    for column in range(size):
        pivot = next(number for number in range(column, size) if work[number][column])
        work[column], work[pivot] = work[pivot], work[column]
        one_over = _EXP[-_LOG[work[column][column]] % 255]
        work[column] = work[column].translate(_times(one_over))
        for number in range(size):
            if number != column and (factor := work[number][column]):
                work[number] = _add(work[number], work[column].translate(_times(factor)))
    return [row[size:] for row in work]


def combined(factors: Sequence[int], blocks: Sequence[bytes]) -> bytes:
    """The sum of each block times its factor; a block that is shorter than the longest counts as ending in zeros."""
    total = 0
    for factor, block in zip(factors, blocks, strict=True):
        if factor:
            total ^= int.from_bytes(block.translate(_times(factor)), "little")
    return total.to_bytes(max(map(len, blocks)), "little")


@cache
def rows(data: int, parity: int) -> tuple[bytes, ...]:
    """The code's matrix: for each block, data first, the factors of the data blocks that add up to it."""
    if not (data > 0 and parity >= 0 and data + parity <= MOST_BLOCKS):
        raise ValueError(f"{data} data and {parity} parity blocks")
    unit = [bytes(int(column == number) for column in range(data)) for number in range(data)]
    if not parity:
        return tuple(unit)
    vandermonde = [
        bytes(_EXP[(number - 1) * column % 255] if number else int(not column) for column in range(data))
        for number in range(data + parity)
    ]
    top = _inverted(vandermonde[:data])
    return (*unit, *(combined(row, top) for row in vandermonde[data:]))


def encoded(blocks: Sequence[bytes], parity: int) -> list[bytes]:
    """The parity blocks of these data blocks, as long as the longest of them."""
    return [combined(row, blocks) for row in rows(len(blocks), parity)[len(blocks) :]]


@cache
def _decoding(data: int, parity: int, there: tuple[int, ...]) -> tuple[bytes, ...]:
    matrix = rows(data, parity)
    return tuple(_inverted([matrix[number] for number in there]))


def decoded(blocks: Mapping[int, bytes], data: int, parity: int, wanted: Sequence[int]) -> dict[int, bytes]:
    """The ``wanted`` blocks by number (data from 0, parity after it) from any ``data`` others.

    They are as long as the longest block given; ``ValueError`` when fewer are.
    """
    if len(blocks) < data:
        raise ValueError(f"{len(blocks)} of {data} blocks")
    there = tuple(sorted(blocks)[:data])
    inverse, matrix = _decoding(data, parity, there), rows(data, parity)
    given = [blocks[number] for number in there]
    return {number: combined(combined(matrix[number], inverse), given) for number in wanted}
