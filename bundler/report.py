"""What the connected side tells an operator, as lines of text: a plan, a finished build, what a bundle holds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bundler.addon_types import FOLDERS, NOUNS, Addon, RetiredAddon
from bundler.fetch import FetchPlan
from bundler.forecast import Phases
from bundler.lockfile import Lock
from bundler.progress import format_bytes, format_roughly, format_seconds
from bundler.signing import SIGNERS_SUFFIX
from bundler.signreport import identity_lines, signer_lines
from bundler.versions import newest_charts_first, newest_first
from installer.bundle.addon import BundledAddon
from installer.bundle.digest import Digest
from installer.bundle.errors import printable
from installer.bundle.index import BundledFile, BundleIndex
from installer.bundle.signatures import Signed
from installer.bundle.source import Source
from installer.bundle.verify import Verified

if TYPE_CHECKING:
    from bundler.addon_choice import ChosenAddon
    from bundler.build import Built
    from bundler.catalog import Catalog
    from bundler.catalog_types import Minor, Release
    from bundler.cleaning import Finding, Tally
    from bundler.room import Room


_SHOWN_FROM_SECONDS = 0.95
_PROOFS = {
    "read": "every byte was read",
    "untouched": "untouched since its bytes were proven; bundle verify reads them",
}
"""How a media set that was there already was proven, by :data:`bundler.assemble.Kept`."""


def plan_lines(
    lock: Lock, plan: FetchPlan, phases: Phases, *, date: str, mirror: str, output: Path, rooms: Iterable[Room] = ()
) -> Iterator[str]:
    """What a build of ``lock`` would fetch and write, and how long that takes; ``date`` is the catalogue's."""
    yield f"Kubernetes v{lock.kubernetes}, {', '.join(lock.platforms)}, catalogue {date}, mirror {mirror}"
    sizes = {blob.digest: blob.size_bytes for blob in lock.blobs}
    yield _row("binaries", len(lock.files), "file", _sum(sizes, (item.blob for item in lock.files)), _trust(lock.files))
    pause = f"pause {lock.pause.reference.tag} (from {_told_by(lock)})"
    image_bytes = _sum(sizes, (blob for image in lock.images for blob in image.blobs()))
    yield _row("images", len(lock.images), "image", image_bytes, pause)
    for addon in lock.addons:
        yield _row(addon.kind, 1, "chart", sizes[addon.chart], f"{addon.name} {addon.version}, {_word(addon.source)}")
        yield f"{'':<38}{_images_told(addon, lock.files)}"
    for runtime in lock.runtimes:
        yield _row("runtime", 1, "file", runtime.size_bytes, f"CPython {runtime.python} ({runtime.kind})")
    if entries := list(_user_entries(lock)):
        yield "  by your catalogue's word, not upstream's:"
        yield from (f"    {entry}" for entry in entries)
    stored = f" ({format_bytes(plan.stored_bytes)} already in the store)" if plan.stored_bytes else ""
    fetching, packing = phases
    at = ""
    if plan.missing_bytes and fetching.seconds:
        rate = format_bytes(plan.missing_bytes / fetching.seconds)
        at = f", {format_roughly(fetching.seconds)} at {rate}/s"
    yield f"  to fetch  {format_bytes(plan.missing_bytes)}{stored}{at}"
    if plan.missing_wheels:
        yield "            and the installer's wheels"
    about = "" if packing.seconds is None else f", {format_roughly(packing.seconds)}"
    yield f"  to pack   {format_bytes(packing.size_bytes)}{about}"
    yield f"  to write  {output}/"
    for room in rooms:
        short = "" if room.enough else ": too little"
        said = f"{format_bytes(room.needed_bytes)} at most, {format_bytes(room.free_bytes)} free{short}"
        yield f"  room      {said}  ({', '.join(room.options)})"


def plan_document(lock: Lock, plan: FetchPlan, phases: Phases, rooms: Iterable[Room] = ()) -> dict[str, Any]:
    """The same as JSON has it: what would be fetched, and the forecast of each phase."""
    return {
        "name": lock.name,
        "kubernetes": lock.kubernetes,
        "platforms": list(lock.platforms),
        "missing_bytes": plan.missing_bytes,
        "stored_bytes": plan.stored_bytes,
        "forecast": [asdict(phase) for phase in phases],
        "room": [
            {
                "for": {option: str(path) for option, path in zip(room.options, room.paths, strict=True)},
                "needed_bytes": room.needed_bytes,
                "free_bytes": room.free_bytes,
            }
            for room in rooms
        ],
    }


def _phase_lines(phases: Phases, took: Mapping[str, float]) -> Iterator[str]:
    """The forecast of each phase that took a second or more, beside what happened."""
    for phase in phases:
        seconds = took.get(phase.name, 0.0)
        if seconds >= _SHOWN_FROM_SECONDS:
            about = format_roughly(phase.seconds) if phase.seconds else "no forecast"
            yield f"{phase.name:<9} {about:<13} took {format_seconds(seconds):>9}   {format_bytes(phase.size_bytes)}"


def _row(what: str, count: int, noun: str, size_bytes: int, remark: str) -> str:
    counted = _counted(count, noun)
    return f"  {what:<10} {counted:<11} {format_bytes(size_bytes):>9}    {remark}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _sum(sizes: Mapping[Digest, int], blobs: Iterable[Digest]) -> int:
    return sum(sizes[blob] for blob in set(blobs))


def _told_by(lock: Lock) -> str:
    return f"kubeadm v{lock.kubernetes}" if lock.pause.told_by == "kubeadm" else "the catalogue"


def _trust(files: Iterable[BundledFile]) -> str:
    trusts = {item.source.trust for item in files}
    if trusts == {"upstream"}:
        return "upstream checksums"
    return "your catalogue's checksums" if trusts == {"user"} else "upstream's and your catalogue's checksums"


def _user_entries(lock: Lock) -> Iterator[str]:
    for item in lock.files:
        if item.source.trust == "user":
            yield f"{item.component} {item.version} {item.platform}  catalogue {item.source.catalogue}"
    for addon in lock.addons:
        if addon.source.catalogue != "built-in":
            yield f"{addon.name} {addon.version}  catalogue {addon.source.catalogue}"
    for image in lock.images:
        if image.source.catalogue != "built-in":
            yield f"{image.reference}  catalogue {image.source.catalogue}"


def _images_told(addon: BundledAddon, files: Iterable[BundledFile]) -> str:
    """How the images of an add-on are known, and the helm that installs it."""
    helm = next((f"helm {item.version}" for item in files if item.component == "helm"), "helm")
    if addon.images_told_by == "helm":
        return f"images as {helm} renders them"
    return f"images from the catalogue; {helm}"


def built_lines(built: Built) -> Iterator[str]:
    """The end of a build: where the media set is, and what to do with it."""
    made = built.media_set
    what = "was there already" if made.kept else format_bytes(made.size_bytes)
    yield f"done      {made.folder}   {what}   {format_seconds(built.seconds)}"
    if made.kept:
        yield f"proof     {_PROOFS[made.kept]}"
    yield from _phase_lines(built.phases, built.took)
    yield from identity_lines(made.identity)
    yield from signer_lines(made.signed)
    yield f"lock      {made.lock}   rebuilds the same bytes:  bundle build --lock"
    for addon in built.addons:
        told = "as helm renders them" if addon.images_told_by == "helm" else "from the catalogue"
        yield f"{addon.kind:<9} {addon.name} {addon.version}, chart {_word(addon.source)}, images {told}"
    for version in sorted(set(built.glibc)):
        yield f"runtime   needs glibc {version} or newer on the node"
    yield ""
    yield "Carry the folder to the node, then there, in it:"
    yield f"  sudo ./install --role cp{'' if made.signed else ' --allow-unsigned'}"
    if made.signed:
        yield ""
        yield "Carry the signer to the site too, by another way than the medium:"
        yield f"  {made.folder}{SIGNERS_SUFFIX}"


def verified_lines(
    index: BundleIndex, verified: Verified, seconds: float, signed: Iterable[Signed] = ()
) -> Iterator[str]:
    """The result of a proof: everything that was read is what it must be."""
    platforms = ", ".join(index.platforms)
    size = f"{format_bytes(verified.read_bytes)} in {format_seconds(seconds)}"
    yield f"verified  v{index.kubernetes} {platforms}   {verified.members} members, {size}"
    yield from identity_lines(verified.identity)
    yield from signer_lines(signed)
    if verified.unexpected:
        yield f"warn      not in SHA256SUMS, and nothing reads it: {printable(', '.join(verified.unexpected))}"


def inspect_lines(index: BundleIndex, identity: Digest) -> Iterator[str]:
    """What a bundle holds, for a reader; ``--json`` gives the whole index instead."""
    sizes = {blob.digest: blob.size_bytes for blob in index.blobs}
    yield f"{index.name}  identity {identity}"
    platforms = ", ".join(index.platforms)
    yield f"Kubernetes v{index.kubernetes}, {platforms}, cni {index.cni}, pause {index.pause.reference}"
    yield "files"
    for item in index.files:
        size = format_bytes(sizes[item.blob])
        roles, word = ",".join(item.roles), _word(item.source)
        yield f"  {item.component:<12} {item.version:<9} {item.platform:<12} {size:>9}  {roles:<10} {word}"
    yield "images"
    for image in index.images:
        size = format_bytes(_sum(sizes, index.held(image)))
        yield f"  {size:>9}  {','.join(image.roles):<10} {image.reference}"
        yield f"             {image.blob}  {_word(image.source)}"
    if index.addons:
        yield "add-ons"
    for addon in index.addons:
        size, word = format_bytes(sizes[addon.chart]), _word(addon.source)
        yield f"  {addon.name:<12} {addon.version:<9} {addon.kind:<12} {size:>9}  {addon.namespace}  chart {word}"
        yield f"             {_images_told(addon, index.files)}"
        if addon.needs:
            yield f"             after {', '.join(addon.needs)}"
        if addon.host:
            wanted = ", ".join((*addon.host.commands, *addon.host.modules, *addon.host.units))
            yield f"             on nodes of role {','.join(addon.roles)}: {wanted}"
    unpacked_bytes = sum(blob.unpacked_size_bytes or blob.size_bytes for blob in index.blobs)
    total = format_bytes(sum(sizes.values()))
    yield f"{len(index.blobs)} blobs, {total}, {format_bytes(unpacked_bytes)} once unpacked"
    if index.layers:
        yield f"dense: {len(index.layers)} layers are held as plain tars; a node packs them with zstd {index.zstd}"


def _word(source: Source) -> str:
    """Whose word the digest is; a user's own catalogue is named."""
    return source.trust if source.catalogue == "built-in" else f"{source.trust} (catalogue {source.catalogue})"


def minor_lines(minor: Minor, newest: str) -> Iterator[str]:
    """One line for ``bundle catalog list``."""
    patches = len(minor.releases)
    pause = minor.releases[newest].images.pause
    yield f"{minor.minor:<6} {newest:<9} {patches:>3} patches   pause {pause:<7} kubeadm {minor.kubeadm_api}"


def catalog_lines(catalog: Catalog) -> Iterator[str]:
    """What a build can be asked for, for ``bundle catalog list``."""
    yield f"catalogue {catalog.date}, each minor with its newest patch"
    for minor in map(catalog.minor, catalog.minors()):
        yield from minor_lines(minor, newest_first(minor.releases)[0])
    for kind, title in (("cni", "pod networks, each with the version that --cni NAME takes"),
                        ("addon", "add-ons, each with the version that --addon NAME takes")):  # fmt: skip
        documents = [catalog.addon_document(kind, name) for name in catalog.addons(kind)]
        if documents:
            yield title
        for found in sorted(documents, key=lambda found: isinstance(found, RetiredAddon)):
            if isinstance(found, RetiredAddon):
                yield from textwrap.wrap(
                    f"{found.name:<23} not offered: {found.reason}", 80, subsequent_indent=" " * 24
                )
            else:
                yield f"{found.name:<23} {found.default:<9} {_counted(len(found.versions), 'version'):>12}"


def catalog_document(catalog: Catalog) -> dict[str, Any]:
    """The same for programs: versions newest first, and why what is retired is."""
    minors = map(catalog.minor, catalog.minors())
    out: dict[str, Any] = {
        "date": catalog.date,
        "kubernetes": {minor.minor: newest_first(minor.releases) for minor in minors},
    }
    retired: dict[str, str] = {}
    for kind, folder in FOLDERS.items():
        found = [catalog.addon_document(kind, name) for name in catalog.addons(kind)]
        out[folder] = {item.name: newest_charts_first(item.versions) for item in found if isinstance(item, Addon)}
        retired |= {item.name: item.reason for item in found if isinstance(item, RetiredAddon)}
    return out | {"retired": retired}


def addon_lines(chosen: ChosenAddon) -> Iterator[str]:
    """What the catalogue knows of one version of an add-on, for ``bundle catalog show``."""
    addon, version = chosen.addon, chosen.version
    yield f"{chosen}   {NOUNS[addon.kind]}   catalogue {version.catalogue}"
    yield f"  chart      {_chart_told(chosen)}"
    yield f"  installed  in {addon.namespace}, by nodes of role {', '.join(addon.roles)}"
    if addon.kubernetes:
        yield f"  kubernetes {addon.kubernetes}"
    if chosen.needs:
        yield f"  needs      {', '.join(map(str, chosen.needs))}"
    if addon.host:
        named = (*addon.host.commands, *addon.host.modules, *addon.host.units)
        yield from _wrapped(f"  on a node  {', '.join(named)}")
    yield from _wrapped(f"  ready      {', '.join(addon.ready)}")
    for note in addon.notes:
        yield from _wrapped(f"  note       {note}")
    if version.images is None:
        yield "images as helm renders them; the catalogue lists none"
    else:
        yield "images" if version.images else "images: it uses none"
    yield from (f"  {image}" for image in version.images or ())


def _wrapped(line: str) -> list[str]:
    """A row of :func:`addon_lines` in 80 columns; a name with a hyphen stays whole."""
    return textwrap.wrap(line, 80, subsequent_indent=" " * 13, break_on_hyphens=False)


def _chart_told(chosen: ChosenAddon) -> str:
    """Where the chart comes from, and whose word its checksum is."""
    if chosen.addon.objects:
        return f"made of the objects in {chosen.version.source.origin}"
    sum_told = f"SHA-256 {chosen.version.digest.hex}" if chosen.version.digest else "no published checksum"
    return f"{chosen.version.source.origin}\n             {sum_told}"


def release_lines(release: Release, minor: Minor, references: Iterable[str]) -> Iterator[str]:
    """What the catalogue knows of one release, for ``bundle catalog show``."""
    note = "   image tags taken from the patch before" if release.extrapolated else ""
    yield f"Kubernetes v{release.version}   kubeadm {minor.kubeadm_api}   catalogue {release.catalogue}{note}"
    yield "images"
    yield from (f"  {reference}" for reference in references)
    yield "components"
    for choice in minor.choices.values():
        origin = "" if choice.catalogue == "built-in" else f"   catalogue {choice.catalogue}"
        yield f"  {choice.component:<12} {choice.default:<9} supported {choice.supported}{origin}"
        indent = " " * 15
        yield from textwrap.wrap(choice.reason, 80, initial_indent=indent, subsequent_indent=indent)
    yield "files"
    for name, by_platform in sorted(release.files.items()):
        for platform, file in sorted(by_platform.items()):
            yield f"  {name:<8} {platform:<12} {file.digest.hex}"


_KINDS = {"blobs": "blob", "unfinished": "unfinished download", "records": "record"}


def cleaning_lines(finding: Finding, *, keep_days: int, plan: bool) -> Iterator[str]:
    """What a store holds and needs, and what went, or would go."""
    yield f"store     {finding.root}   {_tallied('blob', finding.blobs)}"
    yield f"in use    {_counted(len(finding.in_use), 'lock')}"
    for path, tally in finding.in_use:
        yield f"{'':<10}{format_bytes(tally.size_bytes):>9}   {printable(str(path))}"
    if finding.gone:
        yield f"gone      {_counted(len(finding.gone), 'lock')}; no such file any more"
        yield from (f"{'':<22}{printable(str(path))}" for path in finding.gone)
    if finding.young.count:
        days = _counted(keep_days, "day")
        yield f"young     {_tallied('file', finding.young)}; not needed, kept for {days}"
    parts = [_tallied(_KINDS[kind], tally) for kind, tally in finding.removed.items() if tally.count]
    yield f"{'to go' if plan else 'removed':<9} {'; '.join(reversed(parts)) or 'nothing'}"


def cleaning_document(finding: Finding, *, plan: bool) -> dict[str, Any]:
    """The same as JSON has it."""
    return {
        "store": str(finding.root),
        "plan": plan,
        "blobs": asdict(finding.blobs),
        "in_use": [{"lock": str(path), **asdict(tally)} for path, tally in finding.in_use],
        "gone": [str(path) for path in finding.gone],
        "young": asdict(finding.young),
        "removed": {kind: asdict(tally) for kind, tally in finding.removed.items()},
        "removed_bytes": finding.removed_bytes,
    }


def _tallied(noun: str, tally: Tally) -> str:
    return f"{_counted(tally.count, noun)}, {format_bytes(tally.size_bytes)}"
