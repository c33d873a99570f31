"""The reset verb without its screen: takes the node out of its cluster and removes what this tool placed."""

from __future__ import annotations

from pathlib import Path

from installer.errors import InputError
from installer.execute import Executor, Phase, Plan, StepResult
from installer.install import Report, demand_root, listener
from installer.installed import PATH, Installed
from installer.journal import open_journal, read_runs
from installer.node import Node, NodeView
from installer.recording import RecordingNode
from installer.render import fstab, route
from installer.restore import RemoveData, RemoveInterfaces, RestoreFiles, StopServices, first_states
from installer.steps.datadisk import ReleaseDataDisk
from installer.steps.reset import RemoveFiles, leave_cluster

_INTERFACES = ("cni0", "flannel.1", "flannel-v6.1")
_NETWORK_FILES = ("/etc/cni/net.d/10-flannel.conflist", "/opt/cni/bin/flannel")
"""What a pod network's pods write beside the data folders; the first makes the next kubelet believe in a network."""


def plan_reset(view: NodeView, journal_folder: Path) -> Plan:
    """What a reset does here; :class:`InputError` where this tool installed nothing."""
    record = Installed.read(view)
    if record is None:
        raise InputError(
            "there is nothing of this tool to remove",
            where=PATH,
            wanted="a node that this tool installed",
            got="no install record",
            next_step="a cluster made by other means is taken down by its own:  kubeadm reset",
        )
    states = first_states(read_runs(journal_folder))
    steps = (
        *leave_cluster(),
        StopServices(("kubelet.service", "containerd.service", route.UNIT)),
        RemoveInterfaces(_INTERFACES),
        RemoveData(record.data_folders),
        ReleaseDataDisk(),
        RemoveFiles("reset/network-files", "no files of the pod network", _NETWORK_FILES),
        RestoreFiles(states, journal_folder),
    )
    notes = [
        "packet filter rules and loaded modules of the old cluster end with a reboot",
        "this installer (/opt/airgap-bundle) and its journal (/var/lib/airgap-bundle/journal) stay",
    ]
    if fstab.ours(view.read_text(fstab.PATH) or "") is not None:
        notes.append("the data disk keeps its file system, empty, and is taken again by the next install")
    notes += [f"{folder} held something before and is left alone" for folder in record.foreign_folders]
    return Plan((Phase("reset", steps),), tuple(notes))


def reset(node: Node, plan: Plan, report: Report, journal_folder: Path) -> tuple[StepResult, ...]:
    """Carries the reset out."""
    demand_root(node)
    with open_journal(journal_folder, "reset") as journal:
        recording = RecordingNode(node, journal, keeps_content=False)
        results = Executor(recording, listener(journal, report)).run(plan)
        recording.run(["systemctl", "daemon-reload"], timeout_seconds=60)
        return results
