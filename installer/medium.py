"""The medium: the media set an install comes from, or the word for the one that is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from installer.bundle.deltaset import is_delta, open_delta
from installer.bundle.layout import INDEX_NAME
from installer.bundle.reader import TARBALL_SUFFIX, Bundle, open_media_set
from installer.bundle.sums import SUMS_NAME, demand_listed, parse_sums
from installer.bundle.verify import demand_identity
from installer.errors import InputError, MediumError
from installer.installed import Installed
from installer.node import NodeView
from installer.trust import Demand, Trust, judge


def media_folders(given: Sequence[Path], own: str | None) -> tuple[Path, ...]:
    """The folders to look in, the media set's first: those given, and that of ``install`` itself, if that is known."""
    return tuple(dict.fromkeys((*given, Path(own) if own else Path.cwd())))


def judge_medium(media: Path, view: NodeView, demand: Demand) -> Trust:
    """Whether the media set is there, and signed by those who must have signed it: the first look at any medium."""
    _demand_medium(media, view)
    return judge(media, view, demand)


def open_bundle(media: Path, view: NodeView, trust: Trust, further: Sequence[Path] = ()) -> Bundle:
    """The bundle of a media set, opened, once it is known whose it is; the caller closes it. Parts of a split one may
    be in ``further`` folders.

    Its index must be the one that the signed sums list.
    """
    _demand_medium(media, view)
    bundle = open_media_set(media, further)
    try:
        if trust.sums is not None:
            sums = parse_sums(trust.sums.decode("ascii"), str(media / SUMS_NAME))
            demand_listed(sums, (INDEX_NAME,), media)
            demand_identity(bundle, sums[INDEX_NAME])
    except BaseException:
        bundle.close()
        raise
    return bundle


def _demand_medium(media: Path, view: NodeView) -> None:
    """Where there is none, the error names the one this node was installed from, as that is the one to plug in."""
    try:
        if is_delta(media):
            raise _is_a_delta(media, view)
        is_there = media.is_file() or (media.is_dir() and any(_is_of_a_set(path.name) for path in media.iterdir()))
    except OSError as error:
        raise MediumError.of(str(media), error) from None
    if is_there:
        return
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


def _is_a_delta(folder: Path, view: NodeView) -> InputError:
    """What is to be done with a delta, and whether this node has what it is against: only documents are read."""
    with open_delta(folder) as source:
        delta, record = source.delta, Installed.read(view)
    here = "no record of an install" if record is None else f"{record.name}, identity {record.identity}"
    fits = record is not None and record.identity in {item.identity for item in delta.bases}
    return InputError(
        "this is a delta, and not a whole media set",
        where=str(folder),
        wanted="\n".join(f"on this site: {item.name}, identity {item.identity}" for item in delta.bases)
        or f"on this site: {len(delta.needs)} blobs that its inventory listed",
        got=f"on this node: {here}{'' if fits or record is None else ', which is another one'}",
        next_step="make it whole first, then run ./install there:\n./install rebuild --base OLD_MEDIA_SET --out DIR",
    )


def _is_of_a_set(name: str) -> bool:
    return TARBALL_SUFFIX in name or name == SUMS_NAME
