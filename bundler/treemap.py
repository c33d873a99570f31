"""Rectangles whose areas are sizes, as square as they come (squarified treemap). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle; ``x`` and ``y`` are of its upper left corner."""

    x: float
    y: float
    width: float
    height: float


def treemap(sizes: Sequence[float], room: Box) -> list[Box]:
    """A box in ``room`` for each of ``sizes``, which are above zero and stand largest first, in their order."""
    scale = room.width * room.height / sum(sizes) if sizes else 0.0
    areas = [size * scale for size in sizes]
    boxes: list[Box] = []
    while areas:
        side = min(room.width, room.height)
        count = 1
        while count < len(areas) and _worst(areas[: count + 1], side) <= _worst(areas[:count], side):
            count += 1
        row, areas = areas[:count], areas[count:]
        placed, room = _placed(row, room)
        boxes += placed
    return boxes


def _worst(row: Sequence[float], side: float) -> float:
    """The proportion of the box in ``row`` that is least square, if the row fills ``side``."""
    depth = sum(row) / side if side else 1.0
    return max(max(area / depth**2, depth**2 / area) for area in row)


def _placed(row: Sequence[float], room: Box) -> tuple[list[Box], Box]:
    """The row along the shorter side of ``room``, and the room that is left."""
    boxes, at = [], 0.0
    if room.width >= room.height:
        depth = sum(row) / room.height if room.height else 0.0
        for area in row:
            length = area / depth if depth else 0.0
            boxes.append(Box(room.x, room.y + at, depth, length))
            at += length
        return boxes, Box(room.x + depth, room.y, max(0.0, room.width - depth), room.height)
    depth = sum(row) / room.width if room.width else 0.0
    for area in row:
        length = area / depth if depth else 0.0
        boxes.append(Box(room.x + at, room.y, length, depth))
        at += length
    return boxes, Box(room.x, room.y + depth, room.width, max(0.0, room.height - depth))
