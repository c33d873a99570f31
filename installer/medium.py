"""The medium: the media set an install comes from, or the word for the one that is missing."""

from __future__ import annotations

from pathlib import Path

from installer.bundle.reader import TARBALL_SUFFIX, Bundle, open_media_set
from installer.bundle.sums import SUMS_NAME
from installer.errors import InputError
from installer.installed import Installed
from installer.node import NodeView


def open_bundle(media: Path, view: NodeView) -> Bundle:
    """The bundle of a media set, opened; the caller closes it.

    Where there is none, the error names the one this node was installed from, as that is the one to plug in.
    """
    if media.is_file() or (media.is_dir() and any(_is_of_a_set(path.name) for path in media.iterdir())):
        return open_media_set(media)
    record = Installed.read(view)
    if record is None:
        wanted, next_step = "the folder that holds install and the tarball", "run ./install from the medium"
    else:
        wanted = f"{record.name}, identity {record.identity.short}…, which this node was installed from"
        next_step = "plug it in and run ./install there"
    raise InputError(
        "this needs the medium, and no media set is there",
        where=str(media),
        wanted=wanted,
        got="a folder without a bundle" if media.is_dir() else "nothing",
        next_step=f"{next_step}, or give --media DIR",
    )


def _is_of_a_set(name: str) -> bool:
    return TARBALL_SUFFIX in name or name == SUMS_NAME
