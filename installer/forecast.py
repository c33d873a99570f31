"""How long an install is going to take, roughly, phase by phase; and how long it took. Pure arithmetic.

The rates are measured, and none is promised: a processor under emulation takes several times as long. The medium's own
rate, seen while it was verified, replaces the assumed one for everything that is read from it afterwards; what is
spooled is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from installer.bundle.digest import Digest
from installer.bundle.imagesizes import plain_sizes, stored_sizes
from installer.bundle.index import BundleIndex
from installer.bundle.platform import Platform
from installer.execute import PlannedStep, StepResult
from installer.preflight.disk import unpacked_bytes
from installer.reading import Reading
from installer.remaining import images_to_come
from installer.steps.files import PlaceFile

PHASES = ("verify", "files", "images", "kubeadm", "add-ons", "other")

# Two cores of a shared virtual machine (EPYC) with an SSD: 75 MB tarball, 102 MB of release files, images of 143 MB.
VERIFY_BYTES_PER_SECOND = 130e6
"""Bytes of the tarball, read from memory, unpacked and hashed: 123 to 183 MB/s."""
PLACE_BYTES_PER_SECOND = 90e6
"""Bytes of a release file, unpacked, written and synced: 78 to 111 MB/s."""
INGEST_BYTES_PER_SECOND = 119e6
"""Bytes of images as they come, into containerd's content store: 143 MB in 1.2 s."""
UNPACK_BYTES_PER_SECOND = 96e6
"""Bytes of raw layers, unpacked for the snapshotter after all have come: 434 MB in 4.5 s."""
# Machines of the lab that share such a machine's two cores, with Kubernetes 1.30.14.
STEP_SECONDS = {"kubeadm/init": 30.0, "kubeadm/join": 15.0, "cluster/ready": 10.0}
"""25 to 38 s; 5 s for a worker to 29 s for a control plane; 10 s until a worker is Ready."""
NETWORK_SECONDS = 25.0
"""A pod network until its pods are ready: 22 to 25 s."""
ADDON_SECONDS = 8.0
"""Any other add-on: 5 to 9 s."""
LEAST_OBSERVED_SECONDS = 0.2
"""A medium that was read faster than this is too small to say anything about its rate."""


@dataclass(frozen=True)
class PhaseForecast:
    """What one phase is going to do: bytes of blobs to read, bytes to unpack, and about how long that takes."""

    name: str
    read_bytes: int = 0
    unpack_bytes: int = 0
    seconds: float = 0.0


Phases = tuple[PhaseForecast, ...]
"""A forecast: the phases in order, or none where there is nothing to do."""


def forecast(
    index: BundleIndex,
    platform: Platform | None,
    steps: Iterable[PlannedStep],
    tarball_bytes: int,
    reading: Reading,
) -> Phases:
    """The phases of what ``steps`` have to do, in order; the first is ``reading``, of the tarball of ``tarball_bytes``.

    Nothing to do needs no medium.
    """
    todo = [item for item in steps if not item.check.satisfied]
    if not todo:
        return ()
    rate = VERIFY_BYTES_PER_SECOND
    if reading.seconds is not None and reading.seconds >= LEAST_OBSERVED_SECONDS:
        rate = reading.read_bytes / reading.seconds
    blobs = index.descriptors()
    shrink = min(1.0, tarball_bytes / max(1, sum(blob.size_bytes for blob in index.blobs)))

    def seconds_to_read(size_bytes: int) -> float:
        return size_bytes * shrink * reading.again / rate

    files = [blobs[item.step.item.blob] for item in todo if isinstance(item.step, PlaceFile)]
    read_bytes, place_bytes = sum(blob.size_bytes for blob in files), sum(map(unpacked_bytes, files))
    placing = max(seconds_to_read(read_bytes), place_bytes / PLACE_BYTES_PER_SECOND)
    come_bytes, raw_bytes = _image_bytes(index, platform, todo)
    importing = max(seconds_to_read(come_bytes), come_bytes / INGEST_BYTES_PER_SECOND)
    waiting = [item.step.id for item in todo]
    return (
        PhaseForecast("verify", reading.read_bytes, 0, reading.read_bytes / rate),
        PhaseForecast("files", read_bytes, place_bytes, placing),
        PhaseForecast("images", come_bytes, raw_bytes, importing + raw_bytes / UNPACK_BYTES_PER_SECOND),
        PhaseForecast("kubeadm", seconds=sum(STEP_SECONDS.get(step_id, 0.0) for step_id in waiting)),
        PhaseForecast("add-ons", seconds=_addon_seconds(index, waiting)),
    )


def left_seconds(phases: Iterable[PhaseForecast]) -> float:
    """How long everything after the medium was verified is going to take."""
    return sum(phase.seconds for phase in phases if phase.name != "verify")


def phase_of(step_id: str, addons: frozenset[str]) -> str:
    """The phase a step is told under; ``addons`` are the names of the bundle's add-ons."""
    area = step_id.partition("/")[0]
    if step_id == "images/import" or area == "files":
        return area
    if step_id in STEP_SECONDS:
        return "kubeadm"
    return "add-ons" if area in addons else "other"


def taken(index: BundleIndex, results: Iterable[StepResult], reading: Reading) -> dict[str, float]:
    """How many seconds each phase took."""
    addons = frozenset(addon.name for addon in index.addons)
    seconds: dict[str, float] = defaultdict(float)
    if reading.seconds is not None:
        seconds["verify"] = reading.seconds
    for result in results:
        seconds[phase_of(result.step_id, addons)] += result.seconds
    return dict(seconds)


def _image_bytes(index: BundleIndex, platform: Platform | None, todo: Iterable[PlannedStep]) -> tuple[int, int]:
    """Bytes of the images to import as they come, and of their layers once unpacked; each blob once."""
    chosen = [image for image in images_to_come(todo) if platform in image.platforms]
    if platform is None:
        return 0, 0
    come: dict[Digest, int] = {}
    raw: dict[Digest, int] = {}
    for image in chosen:
        come |= stored_sizes(index, image, platform)
        raw |= plain_sizes(index, image, platform)
    return sum(come.values()), sum(raw.values())


def _addon_seconds(index: BundleIndex, waiting: Iterable[str]) -> float:
    """Add-ons are waited for by their step ``NAME/ready``; the pod network takes longest."""
    ready = {step_id.removesuffix("/ready") for step_id in waiting if step_id.endswith("/ready")}
    kinds = [addon.kind for addon in index.addons if addon.name in ready]
    return sum(NETWORK_SECONDS if kind == "cni" else ADDON_SECONDS for kind in kinds)
