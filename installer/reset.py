"""The reset verb without its screen: takes the node out of its cluster and removes what this tool placed."""

from __future__ import annotations

from pathlib import Path

from installer import custody
from installer.config import ClusterConfig
from installer.errors import InputError
from installer.execute import Executor, Phase, Plan, Step, StepResult
from installer.foundcontainerd import FoundContainerd
from installer.given import saved_config
from installer.history import Change, CommandsBefore, UnitBefore, changes, commands_before, effective_runs
from installer.install import Report, demand_root, listener
from installer.installed import CONFIG_PATH, PATH, Installed
from installer.journal import open_journal, read_runs
from installer.node import Node, NodeView
from installer.recording import RecordingNode
from installer.render import fstab, route
from installer.restore import DAEMON_FOLDERS, RemoveData, RemoveEmpty, RestoreFiles, RestoreSiteConfig
from installer.steps.datadisk import DATA_DISK_STAYS, ReleaseDataDisk
from installer.steps.goback import RestoreSwap, RestoreSysctls, RestoreUnits, StopUnits
from installer.steps.imagestore import ImageStore
from installer.steps.leftovers import RemoveVirtualServers, remove_leftovers
from installer.steps.namespaces import EmptyNamespace, is_of_containerd, namespaces_of_others
from installer.steps.reset import UnpinImages, leave_cluster
from installer.steps.siteruntime import KEPT_SUFFIX, changed_files
from installer.wording import count

_CONTAINERD = "containerd.service"
_OWN_UNITS = ("kubelet.service", _CONTAINERD, route.UNIT)


def plan_reset(view: NodeView, journal_folder: Path) -> Plan:
    """What a reset does here; :class:`InputError` where this tool installed nothing and no reset was cut off."""
    record, runs = Installed.read(view), read_runs(journal_folder)
    if record is None and not (runs and runs[-1].verb == "reset" and runs[-1].outcome != "done"):
        raise InputError(
            "there is nothing of this tool to remove",
            where=PATH,
            wanted="a node that this tool installed",
            got="no install record",
            next_step="a cluster made by other means is taken down by its own:  kubeadm reset",
        )
    effective = effective_runs(runs)
    config = ClusterConfig.from_text(saved_config(view) or "", where=CONFIG_PATH)
    others = namespaces_of_others(view)
    files = {path: of_path for path, of_path in changes(effective).items() if not (others and is_of_containerd(path))}
    leftovers = remove_leftovers(config.pod_subnet, config.service_subnet)
    is_site = record is not None and record.containerd_owner == "site"
    sites = changed_files(view) if is_site else {}
    edited = [path for path, as_left in sites.items() if not as_left]
    for path in edited:  # the site changed it since: it and the file from before are the site's to merge
        files = {name: of_path for name, of_path in files.items() if name not in (path, path + KEPT_SUFFIX)}
    configs = {path: files.pop(path) for path in sites if path in files}
    back = _back(
        files, commands_before(effective), journal_folder, record, leftovers, keeps_containerd=bool(others) or is_site
    )
    steps: tuple[Step, ...] = (
        *leave_cluster(),
        *((EmptyNamespace(),) if others and not is_site else ()),
        *((RestoreSiteConfig(configs, journal_folder), *_unpinned(view)) if is_site else ()),
        *back,
    )
    notes = _notes(view, record, () if is_site else others, commands_before(effective), leftovers)
    return Plan((Phase("reset", steps),), (*notes, *_site_notes(record, edited)))


def _unpinned(view: NodeView) -> tuple[Step, ...]:
    """After the site's settings are back, so that its containerd has no reason to pin our sandbox image again."""
    found = FoundContainerd.find(view)
    if found is None:
        return ()
    return (UnpinImages(ImageStore(found.socket, found.version, found.snapshotter, found.ctr), found.config_dump),)


def _site_notes(record: Installed | None, edited: list[str]) -> tuple[str, ...]:
    """What stays of a containerd that the site owns."""
    if record is None or record.containerd_owner != "site":
        return ()
    stays = f"containerd and {record.containerd_root} are the site's and stay"
    return (stays, *(f"{path} was changed since the install and is left alone" for path in sorted(edited)))


def _back(
    files: dict[str, tuple[Change, ...]],
    commands: CommandsBefore,
    journal_folder: Path,
    record: Installed | None,
    leftovers: tuple[Step, ...],
    *,
    keeps_containerd: bool,
) -> tuple[Step, ...]:
    kept = {_CONTAINERD} if keeps_containerd else set()
    known = {unit.unit: unit for unit in commands.units}
    units = tuple(known.get(name, UnitBefore(name, "", False)) for name in dict.fromkeys((*_OWN_UNITS, *known)))
    units = tuple(unit for unit in units if unit.unit not in kept)
    folders = record.data_folders if record else ()
    if record and keeps_containerd:
        folders = tuple(path for path in folders if path != record.containerd_root)
    restore = RestoreFiles(files, journal_folder)
    return (
        StopUnits(units, restore),
        *leftovers,
        RemoveData(folders),
        *(() if keeps_containerd else (ReleaseDataDisk(),)),
        RemoveEmpty((*DAEMON_FOLDERS, *(record.new_folders if record else ()))),
        restore,
        RestoreUnits(units),
        RestoreSysctls(commands.sysctls),
        RestoreSwap(commands.swaps),
    )


def _notes(
    view: NodeView,
    record: Installed | None,
    others: tuple[str, ...],
    commands: CommandsBefore,
    leftovers: tuple[Step, ...],
) -> tuple[str, ...]:
    notes = []
    if commands.modules:
        notes.append(f"kernel modules stay loaded until a reboot: {', '.join(commands.modules)}")
    for step in leftovers:
        if isinstance(step, RemoveVirtualServers) and (left := step.left(view)) and step.check(view).satisfied:
            notes.append(f"{count(len(left), 'virtual server')} of kube-proxy stay until a reboot: no ipvsadm here")
    if others:
        notes.append(f"containerd, its settings and its data stay: others use it, in namespace {', '.join(others)}")
    notes.append("this installer (/opt/airgap-bundle) and its journal (/var/lib/airgap-bundle/journal) stay")
    notes.append(custody.STAYS)
    if not others and fstab.ours(view.read_text(fstab.PATH) or "") is not None:
        notes.append(DATA_DISK_STAYS)
    if record:
        notes.append(f"the API keeps the node; on a control-plane node:  kubectl delete node {record.node_name}")
        notes += [f"{folder} held something before and is left alone" for folder in record.foreign_folders]
    return tuple(notes)


def reset(node: Node, plan: Plan, report: Report, journal_folder: Path) -> tuple[StepResult, ...]:
    """Carries the reset out. Files that somebody else changed are kept in the journal before they go."""
    demand_root(node)
    edited = [path for step in plan.steps if isinstance(step, RestoreFiles) for path in step.edited(node)]
    record = Installed.read(node)
    with (
        custody.noted(node, "reset", record.identity if record else ""),
        open_journal(journal_folder, "reset") as journal,
    ):
        recording = RecordingNode(node, journal, keeps_content=False, except_of=edited)
        results = Executor(recording, listener(journal, report)).run(plan)
        recording.run(["systemctl", "daemon-reload"], timeout_seconds=60)
        return results
