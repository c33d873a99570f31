"""The verb ``delta``, and what ``build --base`` does after a build."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bundler.errors import InputError
from bundler.keyverbs import chosen_key, sign_options
from bundler.terminal import guarded, path_type, progress_shown, say_lines

if TYPE_CHECKING:
    from bundler.delta import Made, OldBase
    from bundler.signkey import SigningKey
    from installer.bundle.platform import Platform

# Heavy modules are imported where they are used, so that ``bundle --help`` starts as fast as the interpreter.


@click.command()
@click.argument("old", type=path_type())
@click.argument("new", type=path_type())
@click.option("--out", type=path_type(), help="The folder to write the delta in.  [default: that of NEW]")
@click.option(
    "--jobs",
    default=os.cpu_count() or 2,
    show_default=True,
    type=click.IntRange(1, 64),
    help="How much is done at once. The result does not depend on it.",
)
@sign_options
@guarded
def delta(*, old: Path, new: Path, out: Path | None, jobs: int, sign_key: Path | None, unsigned: bool) -> None:
    """Make what a site with OLD lacks of NEW, to be carried there instead.

    OLD is a media set, a tarball alone, or the inventory of a site
    (./install inventory); NEW is a media set. In the delta's folder
    ./install rebuild --base DIR --out DIR  makes NEW whole again, byte for byte.
    """
    key = chosen_key(sign_key, unsigned=unsigned, where="bundle delta")
    write_delta(old, new, out or new.parent, jobs, key)


def write_delta(old: Path, new: Path, out: Path, jobs: int, key: SigningKey | None) -> None:
    """Makes the delta, signed with ``key``, and says what became of it."""
    import time

    from bundler.delta import make_delta
    from installer.bundle.reader import open_media_set

    began, progress = time.monotonic(), progress_shown()
    with opened(old, new) as base, open_media_set(new) as bundle:
        made = make_delta(base, bundle, out, key=key, jobs=jobs, progress=progress)
    say_lines(_lines(made, time.monotonic() - began))


def demand_base(old: Path, out: Path, platforms: tuple[Platform, ...] = ()) -> None:
    """What a delta is to be against can be read, and is a site for ``platforms`` if it is one, before it is built."""
    from installer.bundle.platform import platform_of_machine

    with opened(old, out / old.name) as base:
        if base.site and platforms and platform_of_machine(base.site.machine) not in platforms:
            raise InputError(
                "that site cannot install this bundle",
                where=str(old),
                wanted=", ".join(platforms),
                got=base.site.machine,
                next_step="build a bundle for it, with --arch",
            )


@contextmanager
def opened(path: Path, new: Path) -> Iterator[OldBase]:
    """What the delta is against: a media set, or an inventory and the media set beside the new one that it lists."""
    from bundler.delta import OldBase
    from installer.bundle.index import MAXIMUM_BYTES
    from installer.bundle.inventory import Inventory
    from installer.bundle.reader import TARBALL_SUFFIX, open_media_set

    if path.is_dir() or path.name.endswith(TARBALL_SUFFIX) or not path.exists():
        with open_media_set(path) as bundle:
            yield OldBase(bundle, None, bundle.index.name)
        return
    with path.open("rb") as stream:
        site = Inventory.from_bytes(stream.read(MAXIMUM_BYTES + 1), where=str(path))
    beside = [new.parent / item.name for item in site.media if (new.parent / item.name).is_dir()]
    name = f"site-{site.digest.hex[:12]}"
    for folder in beside:
        with open_media_set(folder) as bundle:
            if bundle.identity in {item.identity for item in site.media}:
                yield OldBase(bundle, site, name)
                return
    yield OldBase(None, site, name)


def _lines(made: Made, seconds: float) -> Iterator[str]:
    from bundler.progress import format_bytes, format_seconds

    delta = made.delta
    for item in made.against:
        yield f"warning   {item.what}"
    sizes = (
        ("left out", len(delta.needs), sum(item.size_bytes for item in delta.needs), "the site has them"),
        ("patches", len(delta.patches), sum(item.content.size_bytes for item in delta.patches), ""),
        ("carried", len(delta.carried), sum(item.size_bytes for item in delta.carried), "as they are"),
        ("sections", len(delta.sections), sum(item.content.size_bytes for item in delta.sections), "compressed"),
    )
    for what, count, size_bytes, note in sizes:
        if count:
            yield f"{what:<9} {count:>4}  {format_bytes(size_bytes):>9}  {note}".rstrip()
    yield f"proven    {delta.bundle.name} comes out of it byte for byte, identity {delta.bundle.identity.short}…"
    share = round(100 * made.size_bytes / max(1, made.whole_bytes))
    yield f"done      {made.folder}   {format_bytes(made.size_bytes)}, {share} % of {format_bytes(made.whole_bytes)}"
    yield f"          {format_seconds(seconds)}"
    yield ""
    yield "Carry the folder to the site, then in it:"
    yield "  ./install rebuild --base OLD_MEDIA_SET --out DIR"
