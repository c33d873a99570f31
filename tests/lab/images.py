"""Container images made from files: deterministic layers, a config and manifest per platform, and an index.

Docker's media types are used where the real images have them, OCI's elsewhere; an OCI index may also carry an
attestation entry of the platform ``unknown/unknown``, as build systems add it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from installer.bundle import mediatypes

_LAYER = {
    "docker": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "oci": "application/vnd.oci.image.layer.v1.tar+gzip",
}
_CONFIG = {"docker": mediatypes.DOCKER_CONFIG, "oci": mediatypes.OCI_CONFIG}
_MANIFEST = {"docker": mediatypes.DOCKER_MANIFEST, "oci": mediatypes.OCI_MANIFEST}
_INDEX = {"docker": mediatypes.DOCKER_INDEX, "oci": mediatypes.OCI_INDEX}
_IN_TOTO = "application/vnd.in-toto+json"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Layer:
    """A layer's compressed bytes and the digest of the tar inside."""

    data: bytes
    diff_id: str


@dataclass(frozen=True)
class ImageConfig:
    """What a container of the image runs, and as whom."""

    entrypoint: tuple[str, ...] = ()
    user: str = ""
    environment: tuple[str, ...] = (_PATH,)


@dataclass
class ImageParts:
    """Everything to push for one image: blobs by digest, manifests by digest, and the one the tag names, last."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    top: str = ""

    def add_blob(self, data: bytes) -> str:
        """Keeps a blob; its digest."""
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    def add_manifest(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Keeps a manifest or an index; its descriptor."""
        data = json.dumps(document, indent=2).encode()
        digest = digest_of(data)
        self.manifests[digest] = (document["mediaType"], data)
        return {"mediaType": document["mediaType"], "size": len(data), "digest": digest}


def digest_of(data: bytes) -> str:
    """``sha256:`` and the hex digest of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(contents: Mapping[str, Path | bytes | str]) -> Layer:
    """A layer of files by path: from a file or bytes with mode 0755, or (text) a symlink to that target."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in sorted(_folders(contents)):
            tar.addfile(_member(folder, tarfile.DIRTYPE))
        for path, content in sorted(contents.items()):
            if isinstance(content, str):
                member = _member(path, tarfile.SYMTYPE)
                member.linkname = content
                tar.addfile(member)
            else:
                data = content.read_bytes() if isinstance(content, Path) else content
                member = _member(path, tarfile.REGTYPE)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return Layer(gzip.compress(plain.getvalue(), 4, mtime=0), digest_of(plain.getvalue()))


def streamed_layer(files: Iterable[tuple[str, int, Iterable[bytes]]], *, level: int) -> Layer:
    """A layer of files (path, size in bytes, contents piece by piece), of which only the compressed bytes are kept.

    Folders are left to whoever unpacks it; ``level`` is gzip's.
    """
    packed, whole, pieces = zlib.compressobj(level, wbits=31), hashlib.sha256(), list[bytes]()

    def write(data: bytes) -> None:
        whole.update(data)
        pieces.append(packed.compress(data))

    for path, size_bytes, contents in files:
        member = _member(path, tarfile.REGTYPE)
        member.size = size_bytes
        write(member.tobuf(tarfile.USTAR_FORMAT))
        for piece in contents:
            write(piece)
        write(bytes(-size_bytes % tarfile.BLOCKSIZE))
    write(bytes(2 * tarfile.BLOCKSIZE))
    return Layer(b"".join((*pieces, packed.flush())), f"sha256:{whole.hexdigest()}")


def tree_layer(root: Path, *, leave_out: tuple[str, ...], links: Mapping[str, str]) -> Layer:
    """A layer of everything below ``root`` that is in none of the folders ``leave_out``, and of ``links``."""
    contents: dict[str, Path | bytes | str] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if any(name.is_relative_to(folder) for folder in leave_out):
            continue
        if path.is_symlink():
            contents[str(name)] = str(path.readlink())
        elif path.is_file():
            contents[str(name)] = path
    return layer({**contents, **links})


def _folders(contents: Iterable[str]) -> set[str]:
    return {str(parent) for path in contents for parent in Path(path).parents if str(parent) != "."}


def _member(path: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type = kind
    member.mode = 0o755
    return member


def image(
    layers_by_architecture: Mapping[str, Iterable[Layer]],
    config: ImageConfig,
    *,
    flavour: str = "docker",
    attested: bool = False,
) -> ImageParts:
    """A multi-platform image in Docker's or OCI's types; ``attested`` adds an attestation per platform (OCI only)."""
    parts = ImageParts()
    entries = []
    for architecture, layers in layers_by_architecture.items():
        descriptor = parts.add_manifest(_manifest(parts, architecture, tuple(layers), config, flavour))
        entries.append({**descriptor, "platform": {"architecture": architecture, "os": "linux"}})
    if attested:
        entries += [_attestation(parts, entry["digest"]) for entry in list(entries)]
    index = {"schemaVersion": 2, "mediaType": _INDEX[flavour], "manifests": entries}
    parts.top = parts.add_manifest(index)["digest"]
    return parts


def _manifest(
    parts: ImageParts, architecture: str, layers: tuple[Layer, ...], config: ImageConfig, flavour: str
) -> dict[str, Any]:
    document = {
        "architecture": architecture,
        "os": "linux",
        "created": "2025-06-17T00:00:00Z",
        "config": {"Entrypoint": list(config.entrypoint), "Env": list(config.environment), "User": config.user},
        "rootfs": {"type": "layers", "diff_ids": [item.diff_id for item in layers]},
        "history": [{"created_by": "tests/lab"} for _ in layers],
    }
    data = json.dumps(document).encode()
    return {
        "schemaVersion": 2,
        "mediaType": _MANIFEST[flavour],
        "config": {"mediaType": _CONFIG[flavour], "size": len(data), "digest": parts.add_blob(data)},
        "layers": [
            {"mediaType": _LAYER[flavour], "size": len(item.data), "digest": parts.add_blob(item.data)}
            for item in layers
        ],
    }


def _attestation(parts: ImageParts, subject: str) -> dict[str, Any]:
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "subject": [{"digest": subject}]}).encode()
    config = json.dumps({"architecture": "unknown", "os": "unknown", "subject": subject}).encode()
    descriptor = parts.add_manifest(
        {
            "schemaVersion": 2,
            "mediaType": mediatypes.OCI_MANIFEST,
            "config": {"mediaType": mediatypes.OCI_CONFIG, "size": len(config), "digest": parts.add_blob(config)},
            "layers": [{"mediaType": _IN_TOTO, "size": len(statement), "digest": parts.add_blob(statement)}],
        }
    )
    return {
        **descriptor,
        "platform": {"architecture": "unknown", "os": "unknown"},
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject,
        },
    }
