"""What a bundle holds and what changed, as one page for the person who signs off what crosses the gap.

The page asks for nothing: no script, no font, no picture from elsewhere, and its own policy forbids them. Every word
that comes from a bundle is escaped (:mod:`bundler.markup`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

from bundler.changes import Change, Changes
from bundler.explain import GROUPS, Item, Report
from bundler.markup import Markup, element, joined
from bundler.page_tables import Column, bar, key, space_pictures, table
from bundler.progress import format_bytes
from bundler.sbom import timestamp

_TERMS = {
    "bundle": "Everything a node needs, in one verified file; a media set is the folder that carries it.",
    "identity": "The SHA-256 of the bundle's index. The index has the digest of every part, so two bundles with one "
    "identity are the same to the last byte.",
    "digest": "A SHA-256: a number that follows from the bytes alone. Other bytes have another one.",
    "blob": "A piece of a bundle with a digest of its own: a file, an image's layer, a description of an image.",
    "image, layer": "A program with the files it runs on, in layers. Images that stand on the same base share layers.",
    "chart, add-on": "An add-on is installed into the cluster by Helm, from its chart and with the values given here.",
    "pod network": "What gives pods addresses and carries their traffic between nodes.",
    "pause image": "The smallest container of every pod; it keeps the pod's network. kubeadm names the one it wants.",
    "roles": "The nodes that get it: cp are control planes, worker are the others.",
    "upstream": "The digest is one that the project itself publishes.",
    "first-seen": "Nobody publishes a digest: it is what upstream's server answered when the release was locked.",
    "user": "The digest comes from a catalogue of your own, or from this project.",
    "licence": "What the project publishes its program under, as SPDX writes it. Other contents of an image are not "
    "looked into. The files sbom.spdx.json and sbom.cdx.json in the media set have all of it.",
}
_SETTINGS_NOTE = (
    "The files an install writes follow from these settings, from the site's cluster.yaml and from the node itself. "
    "On a node, ./install plan shows them before anything is changed."
)
_NUMBER = True


def page_text(report: Report, changes: Changes | None = None) -> str:
    """The whole document; the same bundles give the same text."""
    style = (Path(__file__).parent / "page.css").read_text(encoding="ascii")
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    title = f"{report.contents.name}: what it holds" + (" and what changes" if changes else "")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )
    body = element("body", _header(report, changes), element("main", _sections(report, changes)), _footer(report))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _header(report: Report, changes: Changes | None) -> Markup:
    contents = report.contents
    said = "What this bundle holds, where it came from" + (", and what changes with it" if changes else "")
    named = "lock" if contents.kind == "lock" else "identity"
    facts = {
        "Kubernetes": f"v{contents.kubernetes}",
        "For": ", ".join(contents.platforms),
        "Pod network": contents.cni,
        "Pause image": f"{contents.pause.reference}, told by {contents.pause.told_by}",
        "Read from": f"a {contents.kind}, dated {timestamp(contents)[:10]}",
        named.capitalize(): element("code", contents.identity),
    }
    if changes:
        old = changes.old.contents
        facts["Compared with"] = joined(f"{old.name}, ", element("code", old.identity))
    shown = (joined(element("dt", name), element("dd", value)) for name, value in facts.items())
    links = [("space", "Space"), ("origin", "Origin"), ("items", "Everything in it"), ("settings", "Settings"),
             ("terms", "Terms")]  # fmt: skip
    links = [("changes", "Changes"), *links] if changes else links
    nav = element("ul", (element("li", element("a", word, href=f"#{name}")) for name, word in links))
    return element(
        "header",
        element("h1", contents.name),
        element("p", said, class_="lead"),
        element("dl", shown, class_="facts"),
        _figures(report, changes),
        element("nav", nav, aria_label="Sections"),
    )


def _figures(report: Report, changes: Changes | None) -> Markup:
    count = {kind: sum(item.kind == kind for item in report.items) for kind in ("file", "image", "chart")}
    figures = [
        (format_bytes(report.size_bytes), "in all"),
        (str(count["file"]), "programs and archives"),
        (str(count["image"]), "images" if count["image"] != 1 else "image"),
        (str(count["chart"]), "charts" if count["chart"] != 1 else "chart"),
    ]
    if report.unpacked_bytes is not None:
        figures.insert(1, (format_bytes(report.unpacked_bytes), "once unpacked"))
    if report.contents.tarball_bytes is not None:
        figures.insert(1, (format_bytes(report.contents.tarball_bytes), "as the tarball on the medium"))
    if changes:
        figures.insert(0, (format_bytes(changes.fresh.size_bytes), "new bytes"))
    return element(
        "ul",
        (element("li", element("strong", number), element("span", said)) for number, said in figures),
        class_="figures",
    )


def _sections(report: Report, changes: Changes | None) -> Iterator[Markup]:
    if changes:
        yield _section("changes", "What changes", *_changes(changes))
    yield _section("space", "What takes the space", space_pictures(report), _space(report))
    yield _section("origin", "Where it came from", _origins(report))
    yield _section("items", "Everything in it", *_items(report))
    yield _section(
        "settings",
        "What decides the files on a node",
        element("p", _SETTINGS_NOTE),
        table("Settings", [Column("Setting"), Column("Value")], report.settings.items()),
    )  # fmt: skip
    terms = (element("div", element("dt", term), element("dd", told)) for term, told in _TERMS.items())
    yield _section("terms", "Terms", element("dl", terms, class_="terms"))
    lines = ("Identity compared with the medium", "Name", "Date", "Signature")
    yield element("section", element("h2", "Decision"), (element("p", line) for line in lines), class_="sign")


def _section(name: str, title: str, *children: Markup) -> Markup:
    return element("section", element("h2", title, id=f"{name}-title"), children, id=name,
                   aria_labelledby=f"{name}-title")  # fmt: skip


def _changes(changes: Changes) -> Iterator[Markup]:
    if changes.same:
        one = changes.old.contents.identity == changes.new.contents.identity
        yield element("p", "Nothing: the two are one bundle." if one else "Nothing: they hold the same.")
        return
    counts = ((word, sum(change.word == word for change in changes.items)) for word in ("changed", "added", "removed"))
    told = ", ".join(f"{count} {word}" for word, count in counts)
    yield element(
        "p", f"Of the items {told}; {changes.unchanged} are the same. {len(changes.settings)} settings differ."
    )
    parts = {
        "new": (changes.fresh, "New, not in the old bundle"),
        "kept": (changes.kept, "The same as in the old bundle"),
        "gone": (changes.gone, "In the old bundle only"),
    }
    whole = sum(blobs.size_bytes for blobs, _ in parts.values())
    sizes = [(style, float(blobs.size_bytes)) for style, (blobs, _) in parts.items()]
    told = ", ".join(f"{said}: {format_bytes(blobs.size_bytes)}" for blobs, said in parts.values())
    yield element("figure", bar(sizes, whole, told))
    yield table(
        "Bytes of both bundles",
        [Column("Bytes"), Column("Blobs", _NUMBER), Column("Size", _NUMBER)],
        [
            (joined(key(style), said), str(blobs.count), format_bytes(blobs.size_bytes))
            for style, (blobs, said) in parts.items()
        ],
    )
    for word, title in (("changed", "Changed"), ("added", "Added"), ("removed", "Removed")):
        found = [change for change in changes.items if change.word == word]
        if found:
            yield element("h3", f"{title}: {len(found)}")
            yield _change_table(word, found)
    yield element("h3", f"Settings that differ: {len(changes.settings)}")
    if changes.settings:
        rows = [(setting.name, *(_set(value) for value in (setting.old, setting.new))) for setting in changes.settings]
        yield table("Settings before and after", [Column("Setting"), Column("Old"), Column("New")], rows)
    if not changes.installers:
        yield element("p", "The installer is left out: a lock and a media set do not name the same of it.")


def _set(value: str | None) -> str:
    return "not set" if value is None else value


def _change_table(word: str, found: list[Change]) -> Markup:
    most = max(change.new_bytes for change in found)
    columns = [Column("Item"), Column("Version"), Column("What differs"), Column("New bytes", _NUMBER)]
    rows = []
    for change in found:
        old, new = change.old, change.new
        version, why = change.item.version or "–", ", ".join(change.reasons) or word
        if old and new and old.version != new.version:
            version, why = f"{old.version} → {new.version}", ", ".join(("version", *change.reasons))
        size = joined(format_bytes(change.new_bytes), bar([("new", change.new_bytes)], most)) if most else "0.0 MB"
        rows.append((change.item.title, version, why, size))
    return table(f"Items that are {word}", columns, rows)


def _space(report: Report) -> Markup:
    rows = []
    for share in report.shares:
        size = joined(format_bytes(share.size_bytes), bar([(share.group, share.size_bytes)], report.size_bytes))
        percent = f"{100 * share.size_bytes / max(1, report.size_bytes):.1f} %"
        rows.append((joined(key(share.group), GROUPS[share.group]), str(share.items), percent, size))
    columns = [Column("Purpose"), Column("Items", _NUMBER), Column("Part", _NUMBER), Column("Size", _NUMBER)]
    return table("Bytes by purpose; each is counted once", columns, rows)


def _origins(report: Report) -> Markup:
    rows = [
        (origin.place, element("span", origin.trust, class_="word"), origin.catalogue, str(origin.items),
         format_bytes(origin.size_bytes))
        for origin in report.origins
    ]  # fmt: skip
    columns = [Column("Place"), Column("Digest told by"), Column("Catalogue"), Column("Items", _NUMBER),
               Column("Size", _NUMBER)]  # fmt: skip
    return table("Every byte by where it came from", columns, rows)


def _items(report: Report) -> Iterator[Markup]:
    columns = [Column("Item"), Column("Version"), Column("Came from"), Column("Roles"), Column("Size", _NUMBER)]
    with_licences = any(item.license for item in report.items)
    if with_licences:
        columns.insert(4, Column("Licence"))
    else:
        yield element("p", "Licences are in sbom.spdx.json and sbom.cdx.json of the media set: bundle sbom SET.")
    for kind, title in (("file", "Files"), ("image", "Images"), ("chart", "Charts"), ("installer", "Installer")):
        rows = [_row(item, with_licences=with_licences) for item in report.items if item.kind == kind]
        if rows:
            yield element("h3", title)
            caption = f"{title} with their digests" + ("; layers that images share count for each" * (kind == "image"))
            yield table(caption, columns, rows, "items")


def _row(item: Item, *, with_licences: bool) -> tuple[str, ...]:
    named = joined(item.title, element("span", item.digest, class_="digest"))
    told = joined(element("span", item.source.trust, class_="word"), f": {item.source.origin}")
    licence = (item.license or "not known",) if with_licences else ()
    return named, item.version or "–", told, ", ".join(item.roles), *licence, format_bytes(item.size_bytes)


def _footer(report: Report) -> Markup:
    proof = "It is made from the index and proves nothing by itself: bundle verify, and ./install, prove every byte."
    return element("footer", element("p", f"This page is about {report.contents.identity}. {proof}"))
