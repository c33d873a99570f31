"""What a bundle holds, and what differs between two, as lines of at most 80 columns where names allow it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from bundler.changes import Blobs, Change, Changes
from bundler.explain import GROUPS, Item, Report
from bundler.progress import format_bytes

_WIDTH = 80
_TRUSTS = {
    "upstream": "a checksum that upstream publishes",
    "first-seen": "what upstream answered when the release was locked",
    "user": "your own catalogue, or this project",
}
_SETTINGS_NOTE = (
    "The files an install writes follow from these, from cluster.yaml and from the node; ./install plan shows them."
)


def report_lines(report: Report, changes: Changes | None = None) -> Iterator[str]:
    """What ``report`` is about: its size by purpose and origin, every item, and what changed, if that was asked."""
    contents = report.contents
    yield from _named("bundle", report)
    yield f"  Kubernetes v{contents.kubernetes}, {', '.join(contents.platforms)}, pod network {contents.cni}"
    yield f"  pause {contents.pause.reference}, told by {contents.pause.told_by}"
    yield f"  {_sizes(report)}"
    yield "space"
    for share in report.shares:
        counted = _counted(share.items, "item")
        percent = 100 * share.size_bytes / max(1, report.size_bytes)
        yield f"  {GROUPS[share.group]:<28} {counted:>9} {format_bytes(share.size_bytes):>10} {percent:>5.1f} %"
    yield "origin"
    for origin in report.origins:
        named = "" if origin.catalogue in ("built-in", "none") else f", catalogue {origin.catalogue}"
        size = format_bytes(origin.size_bytes)
        yield f"  {origin.place:<28} {_counted(origin.items, 'item'):>9} {size:>10}   {origin.trust}{named}"
    for trust in sorted({origin.trust for origin in report.origins}):
        yield f"    {trust:<11} {_TRUSTS[trust]}"
    for kind, title in (("file", "files"), ("image", "images"), ("chart", "charts"), ("installer", "installer")):
        items = [item for item in report.items if item.kind == kind]
        if items:
            yield title
        for item in items:
            yield from _item(item)
    if changes:
        yield ""
        yield from change_lines(changes)


def change_lines(changes: Changes) -> Iterator[str]:
    """What differs from one bundle to the other."""
    yield from _named("old", changes.old)
    yield from _named("new", changes.new)
    if changes.same:
        same = changes.old.contents.identity == changes.new.contents.identity
        yield "same      the two are one bundle" if same else "same      they hold the same, under two identities"
        return
    yield f"bytes     {_blobs(changes.fresh)} are new"
    yield f"          {_blobs(changes.kept)} are in the old one"
    yield f"          {_blobs(changes.gone)} of the old one are not needed any more"
    for word in ("changed", "added", "removed"):
        found = [change for change in changes.items if change.word == word]
        if found:
            yield f"{word:<9} {_counted(len(found), 'item')}"
        for change in found:
            yield from _change(change)
    yield f"unchanged {_counted(changes.unchanged, 'item')}"
    yield f"settings  {len(changes.settings) or 'none'} differ"
    for setting in changes.settings:
        yield f"  {setting.name}"
        yield from _wrapped(f"    - {'not set' if setting.old is None else setting.old}")
        yield from _wrapped(f"    + {'not set' if setting.new is None else setting.new}")
    yield from _wrapped(f"  {_SETTINGS_NOTE}")
    if not changes.installers:
        yield "  The installer is left out: a lock and a media set do not name the same of it."


def _named(word: str, report: Report) -> Iterator[str]:
    contents = report.contents
    named = "its digest" if contents.kind == "lock" else "identity"
    yield f"{word:<9} {contents.name}   {contents.kind}, {named}"
    yield f"  {contents.identity}"


def _sizes(report: Report) -> str:
    tarball = report.contents.tarball_bytes
    packed = f", {format_bytes(tarball)} as the tarball" if tarball is not None else ""
    unpacked = "" if report.unpacked_bytes is None else f", {format_bytes(report.unpacked_bytes)} unpacked"
    return f"{_counted(len(report.contents.blobs), 'blob')}, {format_bytes(report.size_bytes)}{packed}{unpacked}"


def _item(item: Item) -> Iterator[str]:
    yield f"  {format_bytes(item.size_bytes):>9}  {item.title} {item.version}".rstrip()
    license_text = f", {item.license}" if item.license else ""
    yield f"             {','.join(item.roles)}, {item.source.trust}{license_text}"
    if item.source.origin != f"{item.name}:{item.version}":
        yield f"             {item.source.origin}"
    yield f"     {item.digest}"


def _change(change: Change) -> Iterator[str]:
    old, new = change.old, change.new
    new_bytes = f"{format_bytes(change.new_bytes):>9} new" if change.new_bytes else f"{'':>13}"
    yield f"  {new_bytes}  {change.item.title}".rstrip()
    if old and new:
        moved = f"{old.version} -> {new.version}" if old.version != new.version else old.version
        yield f"  {'':>13}  {moved or 'install'}   {', '.join(change.reasons)}".rstrip()
    elif change.item.version:
        yield f"  {'':>13}  {change.item.version}   {change.item.source.trust}"


def _blobs(blobs: Blobs) -> str:
    return f"{format_bytes(blobs.size_bytes):>9} in {_counted(blobs.count, 'blob')}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _wrapped(line: str) -> Iterable[str]:
    indent = len(line) - len(line.lstrip(" -+"))
    return textwrap.wrap(line, _WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
