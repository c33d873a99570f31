"""Takes a site's inventory by looking only: this node's bundle and machine, media sets at hand, containerd's blobs."""

from __future__ import annotations

from installer import probes
from installer.bundle.basis import CONTENT_STORE
from installer.bundle.delta import BundleName
from installer.bundle.digest import Digest
from installer.bundle.inventory import KIND, Disk, Inventory, sized
from installer.bundle.reader import Bundle
from installer.errors import FormatError
from installer.foundcontainerd import DEFAULT_ROOT, FoundContainerd
from installer.installed import Installed
from installer.node import Node, NodeView

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
_DISK_PATHS = ("/", "/opt", "/var/lib/airgap-bundle", "/var/lib/etcd", "/var/lib/kubelet")
_SIGN_SECONDS = 60.0


def take(view: NodeView, media: tuple[Bundle, ...]) -> Inventory:
    """The inventory of the machine behind ``view`` and of the media sets in ``media``, whose indexes are read."""
    runtime, installed = FoundContainerd.find(view), Installed.read(view)
    root = runtime.root if runtime else installed.containerd_root if installed else DEFAULT_ROOT
    sizes = {blob.digest: blob.size_bytes for bundle in media for blob in bundle.index.blobs}
    spaces = {space.mount: space for space in (view.disk_space(path) for path in (*_DISK_PATHS, root))}
    return Inventory(
        made_seconds=int(view.now_seconds()),
        hostname=probes.first_line(view, "/proc/sys/kernel/hostname"),
        system=probes.os_release(view)[2],
        kernel=probes.kernel(view),
        machine=probes.machine(view),
        containerd=runtime.version if runtime else "",
        disks=tuple(Disk(mount, spaces[mount].total_bytes, spaces[mount].free_bytes) for mount in sorted(spaces)),
        installed=(BundleName(installed.name, installed.identity),) if installed else (),
        media=tuple(BundleName(bundle.index.name, bundle.identity) for bundle in media),
        blobs=sized(_content(view, f"{root}/{CONTENT_STORE}") | sizes),
    )


def _content(view: NodeView, folder: str) -> dict[Digest, int]:
    """What containerd's content store holds, by the names of its files; whoever takes a blob from it hashes it."""
    found = {}
    for name in view.list_dir(f"{folder}/blobs/sha256"):
        state = view.stat(f"{folder}/blobs/sha256/{name}")
        try:
            digest = Digest(f"sha256:{name}")
        except FormatError:
            continue
        if state is not None and state.kind == "file":
            found[digest] = state.size_bytes
    return found


def signature(node: Node, document: bytes) -> str | None:
    """An SSHSIG by the machine's own host key, or ``None`` where there is none, or nobody who may read it."""
    program = node.which("ssh-keygen")
    if program is None or node.effective_uid() != 0 or node.stat(HOST_KEY) is None:
        return None
    argv = [program, "-Y", "sign", "-q", "-f", HOST_KEY, "-n", KIND]
    return node.run(argv, stdin=[document], timeout_seconds=_SIGN_SECONDS).stdout


def words(document: bytes) -> str:
    """The first half of the document's digest, in groups that two people can read to each other."""
    digits = Digest.of(document).hex[:32]
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))
