"""What differs between two bundles: items, bytes and settings. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bundler.errors import InputError
from bundler.explain import Item, Report
from installer.bundle.digest import Digest


@dataclass(frozen=True)
class Change:
    """An item that only one of two bundles has, or that ``differs``. ``new_bytes`` are those the old one lacks."""

    old: Item | None
    new: Item | None
    differs: tuple[str, ...]
    new_bytes: int

    @property
    def word(self) -> str:
        """``added``, ``removed`` or ``changed``."""
        return "added" if self.old is None else "removed" if self.new is None else "changed"

    @property
    def reasons(self) -> tuple[str, ...]:
        """What differs beyond what another version explains."""
        told = {"version", "blobs", *(("digest",) if "version" in self.differs else ()), "added", "removed"}
        return tuple(word for word in self.differs if word not in told)

    @property
    def item(self) -> Item:
        """The new item, or the old one where there is none."""
        found = self.new or self.old
        assert found is not None  # noqa: S101 - one of them is always there
        return found


@dataclass(frozen=True)
class Setting:
    """A setting that differs; ``None`` where a bundle does not have it."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Blobs:
    """A number of blobs and their bytes."""

    count: int
    size_bytes: int


@dataclass(frozen=True)
class Changes:
    """From ``old`` to ``new``. ``kept``, ``fresh`` and ``gone`` are the blobs in both, only in the new, only in the
    old. ``unchanged`` is the number of items that are the same, ``settings`` are those of what both have.
    ``installers`` says whether the installers are compared: of a lock and a media set they cannot be.
    """

    old: Report
    new: Report
    items: tuple[Change, ...]
    unchanged: int
    settings: tuple[Setting, ...]
    kept: Blobs
    fresh: Blobs
    gone: Blobs
    installers: bool

    @property
    def same(self) -> bool:
        """Whether there is no difference that is looked for here."""
        return not (self.items or self.settings or self.fresh.count or self.gone.count)


def compare(old: Report, new: Report) -> Changes:
    """What differs from ``old`` to ``new``; :class:`InputError` where they have no platform in common."""
    demand_comparable(old, new)
    alike = (old.contents.kind == "lock") == (new.contents.kind == "lock")
    pairs = list(_pairs(_compared(old, alike), _compared(new, alike)))
    old_blobs, new_blobs = old.contents.blobs, new.contents.blobs
    old_sizes = {digest: blob.size_bytes for digest, blob in old_blobs.items()}
    new_sizes = {digest: blob.size_bytes for digest, blob in new_blobs.items()}
    found = [_change(first, second, new_sizes, old_sizes.keys()) for first, second in pairs]
    changes = sorted((change for change in found if change.differs), key=_order)
    return Changes(
        old,
        new,
        tuple(changes),
        len(found) - len(changes),
        tuple(_settings(old, new)),
        _blobs(new_sizes, new_sizes.keys() & old_sizes.keys()),
        _blobs(new_sizes, new_sizes.keys() - old_sizes.keys()),
        _blobs(old_sizes, old_sizes.keys() - new_sizes.keys()),
        alike,
    )


def demand_comparable(old: Report, new: Report) -> None:
    """:class:`InputError` for bundles of which no node could have both."""
    ours, theirs = set(old.contents.platforms), set(new.contents.platforms)
    if not ours & theirs:
        raise InputError(
            "the two are for different platforms",
            where=f"{old.contents.name} and {new.contents.name}",
            wanted="at least one platform that both are for",
            got=f"{', '.join(sorted(ours))} and {', '.join(sorted(theirs))}",
            next_step="compare two for the same --arch; bundle report shows each by itself",
        )


def _compared(report: Report, alike: bool) -> Iterator[Item]:
    return (item for item in report.items if alike or item.kind != "installer")


def _pairs(old: Iterable[Item], new: Iterable[Item]) -> Iterator[tuple[Item | None, Item | None]]:
    """The items that are one thing in both. Of several with one name those of one version go together first."""
    names: dict[tuple[str, str, str], tuple[list[Item], list[Item]]] = defaultdict(lambda: ([], []))
    for side, items in enumerate((old, new)):
        for item in items:
            names[item.kind, item.name, item.platform][side].append(item)
    for before, after in names.values():
        for first in list(before):
            same = next((item for item in after if item.version == first.version), None)
            if same is not None:
                before.remove(first)
                after.remove(same)
                yield first, same
        both = min(len(before), len(after))
        yield from zip(before[:both], after[:both], strict=True)
        yield from ((item, None) for item in before[both:])
        yield from ((None, item) for item in after[both:])


def _change(old: Item | None, new: Item | None, sizes: dict[Digest, int], had: Iterable[Digest]) -> Change:
    new_bytes = sum(sizes[digest] for digest in new.blobs - set(had)) if new else 0
    if old is None or new is None:
        return Change(old, new, ("added" if old is None else "removed",), new_bytes)
    pairs = {
        "version": (old.version, new.version),
        "digest": (old.digest, new.digest),
        "blobs": (old.blobs, new.blobs),
        "roles": (old.roles, new.roles),
        "trust": ((old.source.trust, old.source.catalogue), (new.source.trust, new.source.catalogue)),
    }
    if old.version == new.version:  # with the version the address differs, too
        pairs["origin"] = (old.source.origin, new.source.origin)
    return Change(old, new, tuple(name for name, (first, second) in pairs.items() if first != second), new_bytes)


def _order(change: Change) -> tuple[object, ...]:
    item = change.item
    return ("changed", "added", "removed").index(change.word), -change.new_bytes, item.kind, item.title


def _settings(old: Report, new: Report) -> Iterator[Setting]:
    """Of an item that only one of them has, the items tell."""
    ours, theirs = old.settings, new.settings
    both = {name.partition(", ")[0] for name in ours} & {name.partition(", ")[0] for name in theirs}
    for name in sorted({*ours, *theirs}):
        if name.partition(", ")[0] in both and ours.get(name) != theirs.get(name):
            yield Setting(name, ours.get(name), theirs.get(name))


def _blobs(sizes: dict[Digest, int], chosen: Iterable[Digest]) -> Blobs:
    found = [sizes[digest] for digest in chosen]
    return Blobs(len(found), sum(found))
