"""The verbs for the medium itself: copy it to a folder, disc by disc, and repair it. The node is not touched."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

from installer.terminal import bars, say, say_end

# Everything else is imported by the verb that needs it, so that --help answers at once.

_FOLDER = click.Path(path_type=Path)


def media_verbs(media_variable: str) -> tuple[click.Command, ...]:
    """``copy`` and ``repair``; the environment's ``media_variable`` names the folder of the launcher."""

    @click.command("copy")
    @click.argument("destination", metavar="DIR", type=_FOLDER)
    @click.option("--media", type=_FOLDER, multiple=True, metavar="DIR", help="A disc to copy from; may be repeated.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object.")
    def copy_set(*, destination: Path, media: tuple[Path, ...], as_json: bool) -> None:
        """Copy this media set to a folder, disc by disc.

        Every file is proven; what was interrupted goes on when it is run again.
        With one drive, mount each disc in turn and run this there. DIR gets its
        name when all of it is whole.
        """
        from installer import custody
        from installer.bundle.copying import copy_media_set
        from installer.bundle.layout import INDEX_NAME
        from installer.bundle.sums import read_sums
        from installer.localnode import LocalNode
        from installer.medium import media_folders
        from installer.wording import size

        folder, *further = media_folders(media, os.environ.get(media_variable))
        began = time.monotonic()
        with bars("copy", as_json=as_json) as begin:
            copied = copy_media_set(folder, destination, further, begin)
        identity = str(read_sums(copied.folder)[INDEX_NAME])
        custody.note_where_installed(LocalNode(), "copy", identity, "whole", str(copied.folder))
        if not as_json:
            for name in copied.repaired:
                say(f"{'repaired':<10} {name}")
            say(f"{'copied':<10} {size(copied.copied_bytes)}, {size(copied.kept_bytes)} were there and are whole")
        say_end(as_json, f"{copied.folder} is whole", time.monotonic() - began)

    @click.command("repair")
    @click.argument("folder", metavar="[DIR]", type=_FOLDER, required=False)
    @click.option("--media", type=_FOLDER, multiple=True, metavar="DIR", help="A further disc; may be repeated.")
    @click.option("--to", type=_FOLDER, metavar="DIR", help="Write the repaired parts there, as one more disc.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object.")
    def repair_set(*, folder: Path | None, media: tuple[Path, ...], to: Path | None, as_json: bool) -> None:
        """Make damaged or lost parts again, from parity.

        Nothing is replaced before the new part is proven.
        """
        from installer import custody
        from installer.bundle.repair import repair
        from installer.localnode import LocalNode
        from installer.medium import media_folders
        from installer.wording import count

        began = time.monotonic()
        own, *further = media_folders((*((folder,) if folder else ()), *media), os.environ.get(media_variable))
        with bars("repair", as_json=as_json) as begin:
            found = repair(own, further, to, begin)
        result = f"{count(found.blocks, 'block')} made again"
        custody.note_where_installed(LocalNode(), "repair", str(found.cut.identity), result, str(to or own))
        paths = {found.cut.file_name(number): str(path) for number, path in found.paths.items()}
        if as_json:
            say(json.dumps({"event": "repaired", "blocks": found.blocks, "parts": paths}, sort_keys=True))
            return
        for number, path in found.paths.items():
            say(f"{'repaired':<10} {found.cut.words(number)}: {path}")
        if to and paths:
            say(f"{'next':<10} give that folder with the others:  --media {to}")
        what = f"{count(found.blocks, 'block')} of 1 MiB made again" if paths else "every part is whole"
        say_end(as_json, what, time.monotonic() - began)

    return copy_set, repair_set
