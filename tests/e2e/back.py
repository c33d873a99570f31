"""One control plane that is killed again and again, finished, taken back, reset and installed anew, on a data disk."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import cluster
from tests.e2e.installed import demand_same
from tests.e2e.killing import kill_after
from tests.lab.machine import Machine
from tests.lab.phases import Phase, Phases
from tests.lab.proof import ProofError
from tests.lab.switch import private_network

GIB = 1 << 30
# One of each kind: settings of the kernel, files, a service with its disk, images, containerd's settings, the cluster.
KILLED_AFTER = (
    "kernel/sysctl",
    "files/kubelet",
    "services/containerd",
    "images/import",
    "runtime/config",
    "kubeadm/init",
)
UNDONE_AFTER = "runtime/config"
DATA_ROOT = "/var/lib/containerd"
# The one that is neither the root nor the medium, as the machine itself names it.
EMPTY_DISK = "lsblk -dnpo NAME,FSTYPE,MOUNTPOINT | awk 'NF == 1 && !/loop|ram/ {print $1; exit}'"
# Everything an install may touch, byte for byte, with modes, owners and links; not this tool, which stays.
SITE = (
    "cd / && stays='-path opt/airgap-bundle -prune -o -path usr/local/bin/airgap-bundle -prune -o' && "
    "find etc usr/local opt root -xdev $stays -type f -print0 | sort -z | xargs -0 sha256sum && "
    "find etc usr/local opt root -xdev $stays ! -type d -printf '%p %m %u:%g %l\\n' | sort; "
    "swapon --show --noheadings; sysctl net.ipv4.ip_forward vm.swappiness fs.inotify.max_user_instances; "
    "systemctl is-enabled kubelet containerd 2>&1; ls -A /var/lib | grep -v airgap-bundle"
)
# What an undisturbed install and a killed one must have in common; keys and certificates are new each time.
INSTALLED = (
    "find /etc /usr/local /opt /var/lib/kubelet /var/lib/airgap-bundle -xdev -type f -not -path '*/pki/*' "
    "-not -path '*/journal/*' -not -path '/var/lib/kubelet/pods/*' -printf '%p %m %u:%g\\n' | sort; "
    f"ctr -n k8s.io images ls -q | sort; findmnt -n -o FSTYPE,OPTIONS {DATA_ROOT}; "
    "systemctl is-enabled kubelet containerd"
)


@dataclass(frozen=True)
class Back:
    """One attempt on a fresh machine. ``disks`` are the medium, with the media set ``media``, and an empty disk."""

    phases: Phases
    folder: Path
    media: str
    disks: tuple[Path, Path]

    def run(self) -> None:
        """Raises at the first thing that does not hold, with everything that explains it in ``folder``."""
        with ExitStack() as stack:
            switch = stack.enter_context(private_network(self.folder / "stray.pcap"))
            with self.phases.phase("Start cp-1 with the medium and an empty data disk") as phase:
                machine = Machine(
                    "cp-1", "10.77.0.11/24", switch, self.folder, memory_bytes=4 * GIB, disks=list(self.disks)
                )
                stack.enter_context(machine)
                medium, device = machine.mount_media(), machine.must(EMPTY_DISK).strip()
                phase.say(f"medium at {medium}, data disk {device}")
                machine.write(cluster.CONFIG, cluster.CLUSTER_YAML.encode())
            try:
                self._travel(machine, device)
            except BaseException:
                cluster.collect(machine, self.folder)
                raise

    def _travel(self, machine: Machine, device: str) -> None:
        command = f"./install --role cp --config {cluster.CONFIG} --data-disk {device}"
        before = machine.must(SITE)
        with self.phases.phase(f"Killed after {UNDONE_AFTER}, then undone: the machine is as it was") as phase:
            self._kill(machine, command, UNDONE_AFTER, phase)
            phase.say(machine.must(f"cd {self.media} && ./install undo --yes", timeout_seconds=cluster.INSTALL_SECONDS))
            demand_same("after undo", before, machine.must(SITE))
        with self.phases.phase(f"Killed after each of {len(KILLED_AFTER)} steps, it goes on to the end") as phase:
            for step in KILLED_AFTER:
                self._kill(machine, command, step, phase)
            cluster.install(machine, self.media, command, phase)
            killed = machine.must(INSTALLED)
            phase.say(machine.must("airgap-bundle status", timeout_seconds=cluster.INSTALL_SECONDS))
            self._on_the_data_disk(machine, device, phase)
        with self.phases.phase("Reset: the machine is as it was before the first install") as phase:
            phase.say(machine.must("airgap-bundle reset --yes", timeout_seconds=cluster.INSTALL_SECONDS))
            demand_same("after reset", before, machine.must(SITE))
        with self.phases.phase("Installed undisturbed: the same as the one that was killed") as phase:
            cluster.install(machine, self.media, command, phase)
            demand_same("killed against undisturbed", killed, machine.must(INSTALLED))
            cluster.wait_for("cp-1 registered", lambda: bool(cluster.objects(machine, "nodes")))

    def _kill(self, machine: Machine, command: str, step: str, phase: Phase) -> None:
        kill_after(machine, self.media, command, step, timeout_seconds=cluster.INSTALL_SECONDS)
        phase.say(f"{machine.name}$ {command}    killed after {step}")

    def _on_the_data_disk(self, machine: Machine, device: str, phase: Phase) -> None:
        """containerd's folder is the disk's, by UUID, and stays so after a boot."""
        line = machine.must(f"grep {DATA_ROOT} /etc/fstab").strip()
        source = machine.must(f"mount -a && findmnt -n -o SOURCE {DATA_ROOT}").strip()
        if source != device or "UUID=" not in line:
            raise ProofError("the data disk is not where the images are", wanted=device, got=f"{source}; {line}")
        phase.say(f"{DATA_ROOT} is {source}: {line}")
