"""Finds the parts of a split media set: in its folder, in further ones that were named, and in those beside it.

Parts are known by their headers, whatever their files are called. What belongs to another set is no part of this one.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from installer.bundle.digest import Digest
from installer.bundle.errors import InputError, IntegrityError, OperatorError
from installer.bundle.layout import INDEX_NAME
from installer.bundle.parts import HEADER_BYTES, PART_NAME, PartSet, is_part, parse_header
from installer.bundle.sums import SUMS_NAME, incomplete, unlike

PARTIAL, REPAIRING = ".partial", ".repairing"
"""How names end of files that are being written; nothing is to be had from what an interruption left of them."""
_CHUNK_BYTES = 1024 * 1024
_MOST_NAMED = 4


@dataclass(frozen=True)
class PartsHere:
    """The parts of ``set`` that were found: ``paths`` by number. ``sums`` are the media set's.

    ``folders`` are where was looked, and ``foreign`` says of files there what other sets they are parts of.
    """

    set: PartSet
    sums: Mapping[str, Digest]
    paths: Mapping[int, Path]
    folders: tuple[Path, ...]
    foreign: tuple[str, ...] = field(default=())

    def digest(self, number: int) -> Digest:
        """What ``SHA256SUMS`` says of a part."""
        return self.sums[self.set.file_name(number)]

    def missing(self, numbers: Iterable[int]) -> list[int]:
        """Those of ``numbers`` that were not found."""
        return [number for number in numbers if number not in self.paths]

    def demand(self, numbers: Iterable[int]) -> None:
        """Raises :class:`IntegrityError` that names the discs wanted, unless all of ``numbers`` are here."""
        if missing := self.missing(numbers):
            raise self.not_here(missing)

    def not_here(self, missing: Sequence[int]) -> IntegrityError:
        """The error for parts that were not found: on which discs they are, and how to go on."""
        cut = self.set
        named = ", ".join(cut.words(number) for number in missing[:_MOST_NAMED])
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        discs = sorted({cut.disc_of(number) for number in missing})
        wanted = ", ".join(f"disc {disc}" for disc in discs) + f" of {cut.discs}" if cut.discs > 1 else "every part"
        lost = self.repairable(missing)
        return IntegrityError(
            f"{named}{more} {'is' if len(missing) == 1 else 'are'} not here",
            where="\n".join(map(str, self.folders)),
            wanted=wanted,
            got="\n".join([f"{len(self.paths)} of {cut.total} parts", *self.foreign]),
            next_step=(
                "mount it, and name it with one more --media DIR;\n"
                "with one drive, copy disc after disc:  ./install copy DIR"
                + (f"\nif it is lost: {lost}" if lost else "")
            ),
        )

    def repairable(self, bad: Sequence[int]) -> str:
        """How parts that are ``bad`` can be made again, or ``""`` if they cannot."""
        good = len(self.paths) - sum(number in self.paths for number in bad)
        spare = self.set.parity - sum(self.set.is_parity(number) for number in self.missing(self.set.numbers))
        if not self.set.parity or good < self.set.data:
            return ""
        wanted = sum(not self.set.is_parity(number) for number in bad)
        return f"./install repair --to DIR  (parity parts here: {max(spare, 0)}, needed: {wanted})"


def names_parts(sums: Mapping[str, Digest]) -> bool:
    """Whether ``SHA256SUMS`` is that of a media set in parts."""
    return any(PART_NAME.fullmatch(name) for name in sums)


def find_parts(folder: Path, sums: Mapping[str, Digest], further: Sequence[Path] = ()) -> PartsHere:
    """The parts of the media set in ``folder``, whose sums are ``sums``, wherever they are."""
    folders = _folders(folder, further)
    headers: list[tuple[Path, PartSet, int]] = []
    unread: list[Path] = []
    for path in _files(folders):
        said = _header_of(path)
        if said is not None:
            headers.append((path, *said))
        elif PART_NAME.fullmatch(path.name):
            unread.append(path)
    cut = _the_set(folder, sums, [found for _, found, _ in headers])
    foreign = [_foreign(path, found, number, cut) for path, found, number in headers if found != cut]
    candidates: dict[int, list[Path]] = {}
    by_name = {cut.file_name(number): number for number in cut.numbers}
    for path, found, number in headers:
        if found == cut:
            candidates.setdefault(number, []).append(path)
    for path in unread:  # what has the name of a part and no header that can be read
        if path.name in by_name:
            candidates.setdefault(by_name[path.name], []).append(path)
    paths = {number: _chosen(found, sums[cut.file_name(number)]) for number, found in candidates.items()}
    return PartsHere(cut, sums, paths, tuple(folders), tuple(foreign))


def _foreign(path: Path, found: PartSet, number: int, cut: PartSet) -> str:
    """What a part is that is not of the set ``cut``."""
    of = f"{found.name}, identity {found.identity.short}…"
    if found.identity == cut.identity:
        of = "another cut of this bundle"
    return f"{path} is {found.words(number)} of {of}"


def _folders(folder: Path, further: Sequence[Path]) -> list[Path]:
    """Where to look: the folder, those named, and beside it those with the same ``SHA256SUMS``."""
    found: dict[tuple[int, int], Path] = {}
    for path in (folder, *further):
        try:
            state = path.stat()
        except OSError as error:
            raise InputError(
                "a folder of the media set cannot be read",
                where=f"--media {path}",
                wanted="a mounted disc, or a folder with parts",
                got=error.strerror or str(error),
            ) from None
        if not path.is_dir():
            raise InputError("not a folder", where=f"--media {path}", wanted="a folder with parts", got="a file")
        found.setdefault((state.st_dev, state.st_ino), path)
    for path in _beside(folder):
        with contextlib.suppress(OSError):
            state = path.stat()
            found.setdefault((state.st_dev, state.st_ino), path)
    return list(found.values())


def _beside(folder: Path) -> Iterator[Path]:
    """Folders next to this one that are discs of the same media set: their ``SHA256SUMS`` is the same."""
    try:
        own = (folder / SUMS_NAME).read_bytes()
        entries = sorted(folder.resolve().parent.iterdir())
    except OSError:
        return
    for entry in entries:
        with contextlib.suppress(OSError):
            listed = entry / SUMS_NAME
            if listed.is_file() and listed.stat().st_size == len(own) and listed.read_bytes() == own:
                yield entry


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        try:
            found = sorted(path for path in folder.iterdir() if path.is_file())
            found = [path for path in found if path.suffix not in (PARTIAL, REPAIRING)]
        except OSError as error:
            raise IntegrityError(
                "a folder of the media set cannot be read",
                where=str(folder),
                got=error.strerror or str(error),
                next_step="mount it again, or copy it to another medium",
            ) from None
        yield from found


def _header_of(path: Path) -> tuple[PartSet, int] | None:
    """What a file says that it is; ``None`` for what is no part, or cannot be read as one."""
    try:
        with path.open("rb") as stream:
            data = stream.read(HEADER_BYTES)
        return parse_header(data, str(path)) if is_part(data) else None
    except (OSError, IntegrityError):
        return None


def _the_set(folder: Path, sums: Mapping[str, Digest], found: Iterable[PartSet]) -> PartSet:
    """The set that ``SHA256SUMS`` lists, among those whose parts are here; most parts decide if several fit."""
    listed = {name for name in sums if PART_NAME.fullmatch(name)}
    others = Counter(found)
    fitting = [
        cut
        for cut, _ in others.most_common()
        if cut.identity == sums.get(INDEX_NAME) and {cut.file_name(number) for number in cut.numbers} == listed
    ]
    if fitting:
        return fitting[0]
    if not others:
        raise incomplete(folder, sorted(listed))
    other, wanted = others.most_common(1)[0][0], sums.get(INDEX_NAME)
    error = IntegrityError(
        "the parts are of another set than the one that SHA256SUMS is of",
        where=str(folder),
        wanted=f"{len(listed)} parts of identity {wanted or 'none'}",
        got=f"of {other.name}, {other.total} parts of identity {other.identity}",
        next_step="put the parts and the SHA256SUMS of one set together;\ndiscs of one set have the same SHA256SUMS",
    )
    raise unlike(INDEX_NAME, wanted, other.identity, error, folder) if wanted not in (None, other.identity) else error


def _chosen(paths: Sequence[Path], digest: Digest) -> Path:
    """Of several copies of a part the one that ``SHA256SUMS`` lists; the first if none is, or there is only one."""
    if len(paths) > 1:
        for path in paths:
            with contextlib.suppress(OSError, OperatorError):
                if digest_of(path) == digest:
                    return path
    return paths[0]


def digest_of(path: Path) -> Digest:
    """The digest of a file's bytes."""
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while data := stream.read(_CHUNK_BYTES):
            found.update(data)
    return Digest.from_hex(found.hexdigest())
