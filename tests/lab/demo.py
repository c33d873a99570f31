"""``make demo``: the main job from end to end in a few minutes, with small stand-ins where the real thing is large."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.lab.accelerator import host
from tests.lab.builds import build, bundled_version
from tests.lab.errors import LabError
from tests.lab.machine import Machine, media_disk
from tests.lab.phases import Phase, Phases
from tests.lab.proof import pause_answers, prove_no_pull, prove_pause, prove_pinned, prove_silence, workload_images
from tests.lab.rootfs import node_root
from tests.lab.switch import private_network
from tests.lab.upstream import serving

KUBERNETES = "1.30"
NETWORK, NETWORK_NAMESPACE = "cilium", "kube-system"
NODE_ADDRESS = "10.77.0.11/24"
NODE_MEMORY_BYTES = 2 << 30
INSTALL_SECONDS = 900.0

ENDING = """
What was real
  the builder, the bundle, its verification and the installer: the very commands an operator runs
  the formats: upstream's file layouts with their checksum files, a real OCI registry, multi-platform images
  the node: a virtual machine with its own Linux kernel, systemd, and no route out, no DNS, no Python, no zstd
  containerd, runc and the CNI plugins, which imported, pinned and ran what the medium brought
What was a stand-in
  kubeadm, kubelet, kubectl and helm: small programs of the lab that refuse what the real ones refuse
  the cluster: it keeps objects and starts no pods; one counts as ready where the node has its images
  Cilium: a chart of the lab's in the shape of the real one
  the images: a few bytes each, under upstream's names
  the checksums: the lab's own, laid over the built-in catalogue with --catalog; none was switched off
For a real cluster
  bundle build --k8s 1.30      on a connected machine: upstream's own files and images
  make e2e                     here: Kubernetes 1.30.14 from source on two such virtual machines
"""


def show() -> None:
    """Run the demonstration; raises what goes wrong."""
    phases = Phases()
    with tempfile.TemporaryDirectory(prefix="demo-") as scratch:
        folder = Path(scratch)
        with phases.phase("Prepare a bare Debian for the throwaway node: no Python, no zstd") as phase:
            node_root()
            phase.say(f"runs by {host().accelerator.upper()}; kept for the next time")
        media = _connected_side(phases, folder)
        _isolated_side(phases, folder, media)
    print(ENDING)


def _connected_side(phases: Phases, folder: Path) -> Path:
    with ExitStack() as stack:
        with phases.phase("Serve a small upstream on loopback"):
            upstream = stack.enter_context(serving("mini", folder / "upstream"))
        with phases.phase("Connected side: build the bundle and verify it") as phase:
            options = ["--k8s", KUBERNETES, "--runtime", "host", "--mirror", str(upstream.mirror)]
            options += ["--catalog", str(upstream.catalog)]
            return build(options, folder / "dist", phase.say)


def _isolated_side(phases: Phases, folder: Path, media: Path) -> None:
    with ExitStack() as stack:
        switch = stack.enter_context(private_network(folder / "stray.pcap"))
        with phases.phase("Carry the folder to the node, which has no route out") as phase:
            disk = media_disk(media, folder / "media.img")
            machine = Machine("cp-1", NODE_ADDRESS, switch, folder, memory_bytes=NODE_MEMORY_BYTES, disks=[disk])
            stack.enter_context(machine)
            mount = f"{machine.mount_media()}/{media.name}"
            phase.say(machine.must("ip route; test -e /etc/resolv.conf || echo 'no /etc/resolv.conf'"))
        with phases.phase("Isolated side: check the medium, then install from it") as phase:
            _operator(machine, mount, "sha256sum -c SHA256SUMS", phase)
            _operator(machine, mount, "./install --role cp", phase)
        with phases.phase("The node's proof, read with stock commands") as phase:
            version = bundled_version(media)
            phase.say("\n".join(f"{place:<28}{name}" for place, name in pause_answers(machine, version).items()))
            phase.say(prove_pause(machine, version))
            used = workload_images(machine, NETWORK_NAMESPACE)
            phase.say("\n".join(f"{NETWORK:<28}{name}" for name in sorted(used)))
            phase.say(prove_pinned(machine, used))
            phase.say(prove_silence(switch, (machine,)))
            phase.say(prove_no_pull(machine, "registry.k8s.io/pause:3.9"))


def _operator(machine: Machine, folder: str, command: str, phase: Phase) -> None:
    """Run a command as the operator at the node's keyboard, showing what it says."""
    phase.say(f"cp-1$ {command}")
    done = machine.run(f"cd {folder} && {command}", timeout_seconds=INSTALL_SECONDS, on_output=phase.hear)
    phase.heard_all()
    if done.code != 0:
        raise LabError("a command failed", where=f"{machine.name}: {command}", got=f"exit code {done.code}")
