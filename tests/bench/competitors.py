"""The tools that bring the same images and files into one tarball, each as fast as its options allow."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.upstream import Upstream
from tests.lab.errors import LabError
from tests.lab.toolchain import GoBuild, built

ORAS = GoBuild("oras", {"oras": "oras.land/oras/cmd/oras"})
CRANE = GoBuild("crane", {"crane": "github.com/google/go-containerregistry/cmd/crane"})
_AT_ONCE = 8


@dataclass(frozen=True)
class Wanted:
    """What to bring: images by the name they get in the layout, and files by URL."""

    images: tuple[tuple[str, str], ...]
    files: tuple[str, ...]

    @classmethod
    def of_lock(cls, lock: Path, upstream: Upstream) -> Wanted:
        """Everything that a build of ``lock`` fetches."""
        document = json.loads(lock.read_text(encoding="utf-8"))
        references = [image["reference"] for image in document["images"]]
        places = [upstream.place(reference.partition("@")[0]) for reference in references]
        names = [f"image-{number:03}" for number in range(len(places))]
        return cls(
            tuple(zip(names, places, strict=True)),
            tuple(dict.fromkeys(upstream.url(item["source"]["origin"]) for item in document["files"])),
        )


@dataclass(frozen=True)
class Competitor:
    """A tool by name and version, and the lines of shell that copy images into the OCI layout ``layout``."""

    name: str
    copy: Callable[[Sequence[tuple[str, str]]], list[str]]

    def script(self, wanted: Wanted) -> str:
        """The whole job, run in an empty folder: images and files at once, then one tarball."""
        fetches = [f"-o layout/files/{number} {shlex.quote(url)}" for number, url in enumerate(wanted.files)]
        return "\n".join(
            [
                "set -eu",
                "mkdir -p layout/files",
                f"curl -fsS --parallel --parallel-max {_AT_ONCE} {' '.join(fetches)} &",
                *self.copy(wanted.images),
                "wait $!",
                "tar -C layout -cf - . | zstd -3 -T0 -q -o bundle.tar.zst",
                "",
            ]
        )


def competitors() -> tuple[Competitor, ...]:
    """The three, compiled where Debian has none; :class:`LabError` where one cannot be had."""
    oras, crane = built(ORAS) / "oras", built(CRANE) / "crane"
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        raise LabError("skopeo is missing", next_step="make setup")
    return (
        Competitor("oras 1.2.3", lambda images: oras_lines(oras, images)),
        Competitor("skopeo", lambda images: skopeo_lines(skopeo, images)),
        Competitor("crane 0.20.6", lambda images: crane_lines(crane, images)),
    )


def oras_lines(program: Path, images: Sequence[tuple[str, str]]) -> list[str]:
    """One copy per image: two at once would both write the layout's index."""
    copy = f"{program} cp --from-plain-http --to-oci-layout --no-tty --concurrency {_AT_ONCE}"
    return [f"{copy} {place} layout:{name} >log" for name, place in images]


def skopeo_lines(program: str, images: Sequence[tuple[str, str]]) -> list[str]:
    """One copy per image, for the same reason; it fetches six layers of one at once by itself."""
    copy = f"{program} --insecure-policy copy --all --quiet --src-tls-verify=false"
    return [f"{copy} docker://{place} oci:layout:{name} >log" for name, place in images]


def crane_lines(program: Path, images: Sequence[tuple[str, str]]) -> list[str]:
    """All images by one process."""
    return [f"{program} pull --insecure --format=oci {' '.join(place for _, place in images)} layout >log"]
