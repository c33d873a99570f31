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
from installer.render import route
from installer.restore import (
    RemoveData,
    RemoveInterfaces,
    RestoreFiles,
    RestoreSiteConfig,
    StopServices,
    first_states,
)
from installer.steps.imagestore import CTR
from installer.steps.reset import RemoveFiles, leave_cluster
from installer.steps.siteruntime import KEPT_SUFFIX, changed_files

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
    is_site = record.containerd_owner == "site"
    ours = () if is_site else ("containerd.service",)
    sites = changed_files(view) if is_site else {}
    left = {path for path, as_left in sites.items() if not as_left}
    left |= {path + KEPT_SUFFIX for path in left}
    configs = tuple(before for before in states if before.path in sites and before.path not in left)
    others = tuple(before for before in states if before.path not in sites and before.path not in left)
    steps = (
        *leave_cluster(ctr=view.which("ctr") or CTR),
        StopServices(("kubelet.service", *ours, route.UNIT)),
        RemoveInterfaces(_INTERFACES),
        RemoveData(record.data_folders),
        RemoveFiles("reset/network-files", "no files of the pod network", _NETWORK_FILES),
        *((RestoreSiteConfig(configs, journal_folder),) if is_site else ()),
        RestoreFiles(others, journal_folder),
    )
    notes = [
        "packet filter rules and loaded modules of the old cluster end with a reboot",
        "this installer (/opt/airgap-bundle) and its journal (/var/lib/airgap-bundle/journal) stay",
    ]
    notes += [f"{folder} held something before and is left alone" for folder in record.foreign_folders]
    if is_site:
        notes.append(f"containerd and {record.containerd_root} are the site's and stay")
    notes += [f"{path} was changed since the install and is left alone" for path in sorted(left & set(sites))]
    return Plan((Phase("reset", steps),), tuple(notes))


def reset(node: Node, plan: Plan, report: Report, journal_folder: Path) -> tuple[StepResult, ...]:
    """Carries the reset out."""
    demand_root(node)
    with open_journal(journal_folder, "reset") as journal:
        recording = RecordingNode(node, journal, keeps_content=False)
        results = Executor(recording, listener(journal, report)).run(plan)
        recording.run(["systemctl", "daemon-reload"], timeout_seconds=60)
        return results
