"""The tables and pictures of the page: each is given the words and numbers it shows, and makes markup of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bundler.explain import GROUPS, Item, Report
from bundler.markup import Markup, element, joined
from bundler.progress import format_bytes
from bundler.treemap import Box, treemap

_MOST_TILES = 40
_WIDE, _NARROW = Box(0, 0, 1100, 440), Box(0, 0, 328, 460)
_LETTER, _LINE = 6.9, 15
"""About the width of a letter and the height of a line in a tile, in the picture's units."""


@dataclass(frozen=True)
class Column:
    """A column's heading, and whether it holds numbers."""

    title: str
    is_number: bool = False


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], style: str | None = None) -> Markup:
    """A table whose first column names the row."""
    head = (element("th", column.title, scope="col", class_=_class(column)) for column in columns)
    body = (
        element(
            "tr",
            element("th", row[0], scope="row"),
            (
                element("td", element("span", cell), class_=_class(column), data_label=column.title)
                for column, cell in zip(columns[1:], row[1:], strict=True)
            ),
        )
        for row in rows
    )
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", head)),
        element("tbody", body),
        class_=style,
    )


def _class(column: Column) -> str | None:
    return "number" if column.is_number else None


def bar(parts: Sequence[tuple[str, float]], whole: float, told: str | None = None) -> Markup:
    """Parts of a whole as lengths; each is a style's name and a size. Without ``told`` it only decorates a number."""
    at = 0.0
    rects = [element("rect", class_="rest", x=0, y=0, width=1000, height=10)]
    for style, size in parts:
        length = 1000 * size / whole if whole else 0.0
        rects.append(element("rect", class_=style, x=f"{at:.1f}", y=0, width=f"{length:.1f}", height=10))
        at += length
    said = {"role": "img", "aria_label": told} if told else {"aria_hidden": "true"}
    return element("svg", rects, class_="bar", viewBox="0 0 1000 10", preserveAspectRatio="none", **said)


def key(style: str) -> Markup:
    """A small square in a style's colour, beside the word for it."""
    square = element("rect", class_=style, x=0, y=0, width=10, height=10)
    return element("svg", square, class_="key", viewBox="0 0 10 10", aria_hidden="true")


@dataclass(frozen=True)
class _Tile:
    title: str
    group: str
    size_bytes: int


def space_pictures(report: Report) -> Markup:
    """What takes the space, once for a wide page and once for a narrow one; the table beside it says the same."""
    tiles = _tiles(report)
    told = "Areas are bytes: " + ", ".join(
        f"{GROUPS[share.group]} {format_bytes(share.size_bytes)}" for share in report.shares
    )
    wide, narrow = _picture(tiles, _WIDE, "wide", told), _picture(tiles, _NARROW, "narrow", told)
    caption = element("figcaption", "Areas are bytes. The table below has the same by purpose.", class_="soft")
    return element("figure", wide, narrow, caption)


def _tiles(report: Report) -> list[_Tile]:
    """The largest items; the rest of each group is one tile, so that the areas add up to the whole."""
    found = sorted(report.items, key=lambda item: (-item.alone_bytes, item.title))
    tiles = [_Tile(short_name(item), item.group, item.alone_bytes) for item in found[:_MOST_TILES]]
    for group in GROUPS:
        rest = [item for item in found[_MOST_TILES:] if item.group == group]
        tiles.append(_Tile(f"{len(rest)} smaller", group, sum(item.alone_bytes for item in rest)))
    tiles += [
        _Tile("shared layers", share.group, share.size_bytes) for share in report.shares if share.group == "shared"
    ]
    return sorted((tile for tile in tiles if tile.size_bytes), key=lambda tile: (-tile.size_bytes, tile.title))


def short_name(item: Item) -> str:
    """An item's name as it fits into a picture: of an image the last part of its path."""
    return item.title.rpartition("/")[2] if item.kind == "image" else item.name


def _picture(tiles: Sequence[_Tile], room: Box, style: str, told: str) -> Markup:
    boxes = treemap([tile.size_bytes for tile in tiles], room)
    shapes = (_tile(tile, box) for tile, box in zip(tiles, boxes, strict=True))
    size = f"0 0 {room.width:.0f} {room.height:.0f}"
    return element("svg", shapes, class_=style, viewBox=size, role="img", aria_label=told)


def _tile(tile: _Tile, box: Box) -> Markup:
    size = format_bytes(tile.size_bytes)
    name = element("title", f"{tile.title}, {GROUPS[tile.group]}, {size}")
    place = {"x": f"{box.x:.1f}", "y": f"{box.y:.1f}", "width": f"{box.width:.1f}", "height": f"{box.height:.1f}"}
    shape = element("rect", name, class_=f"tile {tile.group}", **place)
    letters = int((box.width - 14) / _LETTER)
    if box.height < 2 * _LINE or letters < 4:
        return shape
    at = {"x": f"{box.x + 8:.1f}"}
    words = [element("text", _fitted(tile.title, letters), y=f"{box.y + 18:.1f}", **at)]
    if box.height >= 3 * _LINE and len(size) <= letters:
        words.append(element("text", size, class_="size", y=f"{box.y + 18 + _LINE:.1f}", **at))
    return joined(shape, words)


def _fitted(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
