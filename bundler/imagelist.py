"""Image lists: one reference per line, ``#`` starts a comment; and the lists that releases and add-ons must have.

The lists are for every tool that takes one reference per line. ``bundle catalog check`` proves that they agree with
the catalogue's table of tags.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bundler.addon_types import Addon, AddonVersion
from bundler.catalog_types import Release
from bundler.errors import FormatError, InputError
from installer.bundle.reference import Reference

REGISTRY = "registry.k8s.io"
_BOTH = ("cp", "worker")


@dataclass(frozen=True)
class RequiredImage:
    """An image to carry: its ``purpose`` (``kube-proxy``, ``pause``, an add-on's name) and the roles that run it.

    ``catalogue`` is the one that names it.
    """

    reference: Reference
    purpose: str
    roles: tuple[str, ...]
    catalogue: str


def kubernetes_images(release: Release) -> tuple[RequiredImage, ...]:
    """The images of ``release``, in the order in which kubeadm lists them."""
    tag = f"v{release.version}"
    rows = (
        ("kube-apiserver", "kube-apiserver", tag, ("cp",)),
        ("kube-controller-manager", "kube-controller-manager", tag, ("cp",)),
        ("kube-scheduler", "kube-scheduler", tag, ("cp",)),
        ("kube-proxy", "kube-proxy", tag, _BOTH),
        ("coredns", "coredns/coredns", release.images.coredns, _BOTH),
        ("pause", "pause", release.images.pause, _BOTH),
        ("etcd", "etcd", release.images.etcd, ("cp",)),
    )
    return tuple(
        RequiredImage(Reference(REGISTRY, repository, image_tag), purpose, roles, release.catalogue)
        for purpose, repository, image_tag, roles in rows
    )


def addon_images(
    addon: Addon, version: AddonVersion, references: Iterable[Reference] | None = None
) -> tuple[RequiredImage, ...]:
    """The images of one version of an add-on: ``references``, or those the catalogue lists."""
    chosen = (version.images or ()) if references is None else references
    return tuple(RequiredImage(reference, addon.name, addon.roles, version.catalogue) for reference in chosen)


def parse_image_list(text: str, *, where: str) -> tuple[Reference, ...]:
    """The references of a list, in its order; raises :class:`InputError` naming every bad line.

    A reference must be written in full (``docker.io/library/busybox:1``, not ``busybox:1``): other tools complete
    short names differently.
    """
    found: dict[Reference, int] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        try:
            reference = Reference.parse(entry)
        except FormatError:
            problems.append(f"line {number}: not an image reference: {entry[:200]}")
            continue
        if str(reference) != entry:
            problems.append(f"line {number}: wanted the full name {reference}, got {entry}")
        elif reference in found:
            problems.append(f"line {number}: {reference} is also in line {found[reference]}")
        found.setdefault(reference, number)
    if problems:
        raise InputError("the image list cannot be used", where=where, got="\n".join(problems))
    return tuple(found)


def render_image_list(release: Release) -> str:
    """The text of ``image-lists/kubernetes/v<version>.txt`` for ``release``."""
    lines = [str(image.reference) for image in kubernetes_images(release)]
    return "\n".join(
        [f"# Images of Kubernetes v{release.version}: what kubeadm config images list prints.", *lines, ""]
    )


def render_addon_list(addon: Addon, version: AddonVersion) -> str:
    """The text of ``<name>-<version>.txt`` in ``image-lists/cni`` or ``image-lists/addons``."""
    lines = sorted(str(image) for image in version.images or ())
    chart = version.chart or addon.chart
    what = f"the chart {chart.name}" if chart else addon.name
    return "\n".join([f"# Images of {what} {version.version}.", *lines, ""])
