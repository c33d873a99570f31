"""From what was asked for to a lock: the only place that decides what ``1.30`` or a tag means.

Pure over :class:`Lookup`: it opens no socket and no file itself. What the outside must tell (the size of a file, what
a tag is, what the kubeadm of the release says, the runtime made on this machine) it asks through that protocol, many
questions at once where the caller's ``ask_all`` does so; the lock does not depend on the order of the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from bundler.addon_choice import NO_NETWORK, chosen_addons
from bundler.addons import ChartLookup, resolve_addon
from bundler.catalog import Catalog
from bundler.catalog_types import Release, ReleaseFile
from bundler.errors import InputError, IntegrityError
from bundler.imagelist import RequiredImage, kubernetes_images
from bundler.lockfile import INTERPRETER, PROGRAM, RUNTIME_KINDS, Lock, LockedRuntime
from bundler.site_values import SiteValues
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import BundledFile, BundledImage, Pause, PlatformImage
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference
from installer.bundle.roles import ROLES
from installer.bundle.source import Source

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class BuildRequest:
    """What to build. ``version``, ``cni`` (``none`` or ``NAME[@VERSION]``) and ``addons`` are as the operator wrote
    them; ``cni`` is ``None`` where nothing was said. ``values`` are the site's, for rendering.

    ``zstd`` is the version of the compressor that will pack.
    ``created_seconds`` (Unix time) is ``SOURCE_DATE_EPOCH``; ``None`` takes the catalogue's date.
    """

    version: str
    platforms: tuple[Platform, ...]
    zstd: str
    cni: str | None = None
    addons: tuple[str, ...] = ()
    values: SiteValues = field(default_factory=SiteValues)
    runtime: str = "catalogue"
    created_seconds: int | None = None


class ResolvedImage(Protocol):
    """What a reference was: the ``blob`` it names, all ``blobs`` that travel, and the image of each platform."""

    @property
    def blob(self) -> Descriptor:
        """The index or manifest the reference names."""
        ...

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob that travels, ``blob`` among them."""
        ...

    @property
    def platforms(self) -> dict[Platform, PlatformImage]:
        """The image for each platform asked for."""
        ...


class Lookup(ChartLookup, Protocol):
    """What only the outside can tell. Implementations raise ``SourceError`` when it does not."""

    def file_size_bytes(self, url: str) -> int:
        """The size of the file with this canonical URL (wherever a mirror profile says to ask)."""
        ...

    def image(self, reference: Reference, platforms: tuple[Platform, ...]) -> ResolvedImage:
        """What ``reference`` is now, for exactly these platforms."""
        ...

    def kubeadm_images(
        self, url: str, digest: Digest, size_bytes: int, version: str, platform: Platform
    ) -> tuple[Reference, ...] | None:
        """What this kubeadm lists for ``version``; ``None`` where the builder cannot execute a ``platform`` binary."""
        ...

    def runtime(self, kind: str, platform: Platform) -> LockedRuntime:
        """The runtime of kind ``file`` or ``host`` for ``platform``."""
        ...


class AskAll(Protocol):
    """``map``: the built-in one, or a thread pool's, which asks many questions at once. Answers keep the order."""

    def __call__(self, question: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]:
        """The answer for each of ``items``."""
        ...


def one_by_one(question: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]:
    """The answers, asked one after another."""
    return map(question, items)


def resolve(request: BuildRequest, catalog: Catalog, lookup: Lookup, ask_all: AskAll = one_by_one) -> Lock:
    """The lock for ``request``; the same answers give the same lock, byte for byte.

    Raises :class:`InputError` for what the catalogue does not have or disagrees with kubeadm on,
    ``SourceError`` from the lookups.
    """
    _demand_known(request)
    platforms = tuple(sorted(set(request.platforms)))
    release = catalog.release(request.version)
    chosen = chosen_addons(request.cni, request.addons, catalog, release)
    request.values.demand_carried(item.addon.name for item in chosen)
    carried = catalog.files(release, platforms, with_charts=bool(chosen))
    files = sorted(carried, key=lambda file: (file.component, file.platform))
    if chosen:
        _demand_helm(release, files)
    sizes = ask_all(lambda file: lookup.file_size_bytes(file.url), files)
    sized = list(zip(files, sizes, strict=True))
    pause = _pause(release, lookup, _of(sized, "kubeadm"))
    runtimes = tuple(ask_all(lambda platform: _runtime(request.runtime, platform, catalog, lookup), platforms))
    helms, site = _of(sized, "helm"), request.values
    addons = tuple(ask_all(lambda addon: resolve_addon(addon, release, helms, lookup, site), chosen))
    carried_images = (*kubernetes_images(release), *catalog.endpoint_images())
    required = _merged([*carried_images, *(image for addon in addons for image in addon.images)])
    resolved = list(ask_all(lambda image: lookup.image(image.reference, platforms), required))
    blobs = [Descriptor(file.digest, size, file.media_type) for file, size in sized]
    blobs += [blob for image in resolved for blob in image.blobs]
    blobs += [addon.chart for addon in addons]
    created = request.created_seconds
    return Lock(
        kubernetes=release.version,
        platforms=platforms,
        cni=next((addon.bundled.name for addon in addons if addon.bundled.kind == "cni"), NO_NETWORK),
        created_seconds=catalog.created_seconds if created is None else created,
        zstd=request.zstd,
        pause=pause,
        runtimes=runtimes,
        files=tuple(_bundled_file(file) for file in files),
        images=tuple(_bundled_image(*pair, platforms) for pair in zip(required, resolved, strict=True)),
        blobs=_unique(blobs),
        addons=tuple(addon.bundled for addon in addons),
        licenses=catalog.licenses().only(
            components={file.component for file in files},
            charts={addon.bundled.name for addon in addons},
            images={image.reference.name for image in required},
            runtime=(PROGRAM, INTERPRETER, *(wheel.name for runtime in runtimes for wheel in runtime.wheels)),
        ),
    )


def _demand_helm(release: Release, files: Iterable[ReleaseFile]) -> None:
    """Charts are rendered and installed by the helm that the catalogue chooses for this Kubernetes."""
    if not any(file.component == "helm" for file in files):
        raise InputError(
            "the catalogue chooses no helm for this Kubernetes",
            where=f"kubernetes/v{release.minor}.yaml, components",
            wanted="helm, to install the chart",
            got="none",
            next_step="choose one there (--catalog DIR), or build with --cni none and no add-on",
        )


def _of(files: Iterable[tuple[ReleaseFile, int]], component: str) -> list[tuple[ReleaseFile, int]]:
    return [(file, size_bytes) for file, size_bytes in files if file.component == component]


def _merged(images: Iterable[RequiredImage]) -> list[RequiredImage]:
    """Each reference once, sorted: one that several need keeps the first's purpose, and runs where any of them does."""
    found: dict[Reference, RequiredImage] = {}
    for image in images:
        known = found.setdefault(image.reference, image)
        roles = tuple(role for role in ROLES if role in (*known.roles, *image.roles))
        found[image.reference] = replace(known, roles=roles)
    return [found[reference] for reference in sorted(found, key=str)]


def _demand_known(request: BuildRequest) -> None:
    if request.runtime not in RUNTIME_KINDS:
        kinds = ", ".join(RUNTIME_KINDS)
        raise InputError("no such runtime", where=f"--runtime {request.runtime}", wanted=kinds, got=request.runtime)
    if not request.platforms:
        raise InputError("nothing to build for", where="--arch", wanted="at least one architecture", got="none")


def _pause(release: Release, lookup: Lookup, kubeadms: Iterable[tuple[ReleaseFile, int]]) -> Pause:
    """The sandbox image: from the release's own kubeadm where it can be asked, else from the catalogue."""
    listed = [image.reference for image in kubernetes_images(release)]
    pause = next(image.reference for image in kubernetes_images(release) if image.purpose == "pause")
    for file, size in kubeadms:
        told = lookup.kubeadm_images(file.url, file.digest, size, release.version, file.platform)
        if told is not None:
            _demand_same(release, listed, told)
            return Pause(pause, "kubeadm")
    return Pause(pause, "catalogue")


def _demand_same(release: Release, listed: Iterable[Reference], told: Iterable[Reference]) -> None:
    ours, theirs = set(listed), set(told)
    if ours != theirs:
        raise InputError(
            f"kubeadm v{release.version} wants other images than the catalogue lists",
            where=f"kubernetes {release.version}, catalogue {release.catalogue}",
            wanted="\n".join(sorted(str(image) for image in theirs - ours)) or "nothing more (from kubeadm)",
            got="\n".join(sorted(str(image) for image in ours - theirs)) or "nothing instead (from the catalogue)",
            next_step=f"give the right tags in a folder of yours: --catalog DIR, kubernetes/v{release.minor}.yaml",
        )


def _runtime(kind: str, platform: Platform, catalog: Catalog, lookup: Lookup) -> LockedRuntime:
    if kind != "catalogue":
        return lookup.runtime(kind, platform)
    choice = catalog.runtime()
    python = choice.pythons.get(choice.default)
    archive = python.archives.get(platform) if python else None
    if python is None or archive is None:
        raise InputError(
            "the catalogue has no runtime for this",
            where=f"runtime.yaml, Python {choice.default} for {platform}",
            wanted="an archive with its SHA-256",
            got="none",
            next_step="bundle catalog check, or --runtime host or a file",
        )
    source = archive.source
    return LockedRuntime(
        kind,
        platform,
        python.version,
        source.origin,
        archive.digest,
        lookup.file_size_bytes(source.origin),
        python.wheels.get(platform, ()),
        source.trust,
        source.catalogue,
    )


def _bundled_file(file: ReleaseFile) -> BundledFile:
    return BundledFile(
        file.component, file.version, file.platform, file.digest, file.roles, file.placement, file.source
    )


def _bundled_image(image: RequiredImage, found: ResolvedImage, platforms: tuple[Platform, ...]) -> BundledImage:
    if set(found.platforms) != set(platforms):
        raise InputError(
            "an image is not there for every platform",
            where=str(image.reference),
            wanted=", ".join(platforms),
            got=", ".join(sorted(found.platforms)) or "none",
        )
    source = Source(str(image.reference), "first-seen", image.catalogue)
    return BundledImage(image.reference, found.blob.digest, image.purpose, image.roles, found.platforms, source)


def _unique(blobs: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    """Each blob once, by digest; raises :class:`IntegrityError` for one digest with two sizes.

    Equal bytes can have two media types (one layer in a Docker and in an OCI image): the first by name is taken.
    """
    found: dict[Digest, Descriptor] = {}
    for blob in sorted(blobs, key=lambda blob: (blob.digest, blob.media_type, blob.size_bytes)):
        known = found.setdefault(blob.digest, blob)
        if known.size_bytes != blob.size_bytes:
            raise IntegrityError(
                "one digest is told with two sizes",
                where=blob.digest,
                wanted=f"{known.size_bytes} bytes",
                got=f"{blob.size_bytes} bytes",
            )
    return tuple(found.values())
