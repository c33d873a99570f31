"""The verbs of a media set in parts: split, repair and copy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bundler.keyverbs import chosen_key, sign_options
from bundler.terminal import guarded, path_type, progress_shown, say, say_lines

if TYPE_CHECKING:
    from bundler.split import SplitSet

# Heavy modules are imported where they are used, so that ``bundle --help`` starts as fast as the interpreter.

_MEDIA = click.option(
    "--media", type=path_type(), multiple=True, metavar="DIR", help="A further disc of the set. May be repeated."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
PARITY = click.option("--parity", metavar="PERCENT", help="Parity parts to repair others with, such as 10%.")


@click.command("split")
@click.argument("folder", metavar="DIR", type=path_type())
@click.option("--for", "medium", required=True, metavar="MEDIUM", help="dvd, bd, fat32, or a medium's size: 8G, 700M.")
@click.option(
    "--to", "out", required=True, type=path_type(), metavar="OUT", help="The folder to write <name>.parts in."
)
@PARITY
@_MEDIA
@sign_options
@_JSON
@guarded
def split(
    *,
    folder: Path,
    medium: str,
    out: Path,
    parity: str | None,
    media: tuple[Path, ...],
    sign_key: Path | None,
    unsigned: bool,
    as_json: bool,
) -> None:
    """Split a media set for media that are smaller than it, with parity if wanted.

    Every disc gets install, bundle.json, SHA256SUMS and its parts. Nothing has
    to be joined again: ./install and bundle verify read the parts in place.
    """
    from bundler.cutting import parse_medium, parse_parity
    from bundler.split import split_media_set

    size, percent = parse_medium(medium), parse_parity(parity)
    key = chosen_key(sign_key, unsigned=unsigned, where="bundle split")
    with bars("split") as begin:
        made = split_media_set(folder, out, size, percent, key=key, progress=begin, further=media)
    if as_json:
        say(json.dumps(split_document(made)))
    else:
        say_lines(split_lines(made))


@click.command("repair")
@click.argument("folder", metavar="DIR", type=path_type())
@click.option("--to", type=path_type(), metavar="OUT", help="Write the repaired parts there, as one more disc.")
@_MEDIA
@_JSON
@guarded
def repair(folder: Path, to: Path | None, media: tuple[Path, ...], as_json: bool) -> None:
    """Make damaged or lost parts again from the others and the parity parts.

    Nothing is replaced before the new part is proven.
    """
    from installer.bundle.repair import repair as make_again

    with bars("repair") as begin:
        found = make_again(folder, media, to, begin)
    paths = {found.cut.file_name(number): str(path) for number, path in found.paths.items()}
    if as_json:
        say(json.dumps({"blocks": found.blocks, "parts": paths}))
        return
    for number, path in found.paths.items():
        say(f"repaired  {found.cut.words(number)}: {path}")
    say(f"done      {found.blocks} blocks of 1 MiB made again" if paths else "done      every part is whole")


@click.command("copy")
@click.argument("folder", metavar="DIR", type=path_type())
@click.argument("destination", metavar="DEST", type=path_type())
@_MEDIA
@_JSON
@guarded
def copy(folder: Path, destination: Path, media: tuple[Path, ...], as_json: bool) -> None:
    """Copy a media set: proven, and gone on with after an interruption.

    DEST is there when all of it is. Of a split set, discs may be copied one
    after the other.
    """
    from bundler.progress import format_bytes
    from installer.bundle.copying import copy_media_set

    with bars("copy") as begin:
        copied = copy_media_set(folder, destination, media, begin)
    if as_json:
        numbers = {"copied_bytes": copied.copied_bytes, "kept_bytes": copied.kept_bytes}
        say(json.dumps({"folder": str(copied.folder), "repaired": list(copied.repaired), **numbers}))
        return
    for name in copied.repaired:
        say(f"repaired  {name}")
    say(f"copied    {format_bytes(copied.copied_bytes)}, {format_bytes(copied.kept_bytes)} were there and are whole")
    say(f"done      {copied.folder} is whole")


@contextmanager
def bars(verb: str) -> Iterator[Callable[[int], Callable[[int], None]]]:
    """What long work with bytes reports to: it is told how many there are, and then each number."""
    with ExitStack() as opened:

        def begin(total_bytes: int) -> Callable[[int], None]:
            return opened.enter_context(progress_shown().task(verb, total_bytes)).advance

        yield begin


def split_document(made: SplitSet) -> dict[str, object]:
    """A finished split, as JSON has it."""
    cut = made.cut
    return {
        "folder": str(made.folder),
        "identity": str(cut.identity),
        "parts": cut.data,
        "parity": cut.parity,
        "discs": [
            {
                "folder": str(folder),
                "bytes": size_bytes,
                "parts": [cut.file_name(number) for number in cut.numbers if _is_on(made, number, at)],
            }
            for at, (folder, size_bytes) in enumerate(made.discs, start=1)
        ],
    }


def split_lines(made: SplitSet) -> Iterator[str]:
    """A finished split, as an operator reads it: which folder goes on which disc, and what may be lost."""
    from bundler.progress import format_bytes

    cut = made.cut
    parity = f", {cut.parity} parity" if cut.parity else ""
    yield f"split     {cut.data} parts{parity}, {format_bytes(cut.file_bytes(1))} each   identity {cut.identity.short}…"
    for at, (folder, size_bytes) in enumerate(made.discs, start=1):
        numbers = [number for number in cut.numbers if _is_on(made, number, at)]
        held = f"{cut.words(numbers[0])}" + (f" to {cut.words(numbers[-1])}" if len(numbers) > 1 else "")
        label = f"disc {at}" if len(made.discs) > 1 else "medium"
        yield f"{label:<9} {format_bytes(size_bytes):>9}  {folder}"
        yield f"{'':<20} {held}"
    if cut.parity:
        many = f"any {cut.parity} of them" if cut.parity > 1 else "any one of them"
        yield f"repair    {many} may be damaged or lost"
        yield f"          {_discs_spared(cut.parity // cut.on_disc, len(made.discs))}"
    yield f"done      {made.folder}"
    yield "          the folder it was split from may go once these were verified"


def _discs_spared(spared: int, discs: int) -> str:
    if discs == 1:
        return "damage in one place of several parts counts for each of them"
    if not spared:
        return "a whole disc may not: for that, ask for more with --parity"
    return f"that is {spared} of the {discs} discs"


def _is_on(made: SplitSet, number: int, disc: int) -> bool:
    return len(made.discs) == 1 or made.cut.disc_of(number) == disc


PART_VERBS: tuple[click.Command, ...] = (split, repair, copy)
