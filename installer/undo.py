"""The undo verb without its screen: takes back what the last install run here changed, as the journal tells it."""

from __future__ import annotations

from pathlib import Path

from installer import custody
from installer.errors import InputError
from installer.execute import Executor, Phase, Plan, Step, StepResult
from installer.history import began_kubeadm, changed_cluster, changes, commands_before, effective_runs, images_before
from installer.install import Report, demand_root, listener
from installer.installed import PATH, Installed
from installer.journal import Run, open_journal, read_runs
from installer.node import Node, NodeView
from installer.recording import RecordingNode
from installer.render import fstab
from installer.restore import DAEMON_FOLDERS, RemoveData, RemoveEmpty, RestoreFiles
from installer.steps.datadisk import DATA_DISK_STAYS, ReleaseDataDisk
from installer.steps.goback import RestoreImages, RestoreSwap, RestoreSysctls, RestoreUnits, StopUnits
from installer.steps.imagestore import ImageStore
from installer.vip import proof

_SOCKET = "/run/containerd/containerd.sock"
_RESET = "sudo airgap-bundle reset  takes the node out of its cluster and removes everything"


def run_to_undo(journal_folder: Path) -> Run:
    """The last install run that counts; :class:`InputError` where there is none, or where only a reset leads back."""
    runs = read_runs(journal_folder)
    if runs and runs[-1].verb == "reset" and runs[-1].outcome != "done":
        raise InputError(
            "a reset was begun here and has not ended",
            where=f"run {runs[-1].name}",
            wanted="an install to take back",
            got=f"a reset, {runs[-1].outcome}",
            next_step="sudo airgap-bundle reset  goes on with it",
        )
    installs = [run for run in effective_runs(runs) if run.verb == "install"]
    if not installs:
        raise InputError(
            "there is nothing to undo",
            where=str(journal_folder),
            wanted="a run that changed this machine",
            got="none since the last reset" if runs else "no run at all",
            next_step="./install status  shows what is installed here",
        )
    if began_kubeadm(installs[-1]):
        raise InputError(
            "a run that brought this machine into a cluster cannot be undone",
            where=f"run {installs[-1].name}, {installs[-1].outcome}",
            wanted="a run that had not begun kubeadm",
            got="one that ran kubeadm, which changed the cluster too",
            next_step=_RESET,
        )
    return installs[-1]


def plan_undo(view: NodeView, journal_folder: Path, run: Run) -> Plan:
    """What taking ``run`` back does here."""
    record, commands = Installed.read(view), commands_before([run])
    of_run = changes([run])
    files = RestoreFiles(of_run, journal_folder, id="undo/files", title=f"files as before run {run.name}")
    is_first = PATH in of_run and of_run[PATH][0].before.kind == "absent"
    folders = record.data_folders if record and is_first else ()
    images = () if record and record.containerd_root in folders else (_images(run),)
    release = (ReleaseDataDisk(id="undo/data-disk"),) if fstab.DROP_IN_PATH in of_run and is_first else ()
    steps: tuple[Step, ...] = (
        *images,
        StopUnits(commands.units, files, id="undo/services", title="services stopped that this run set up"),
        RemoveData(folders, id="undo/data", title="no data of the services this run set up"),
        *release,
        RemoveEmpty((*DAEMON_FOLDERS, *(record.new_folders if record else ())) if is_first else (), id="undo/empty"),
        files,
        RestoreUnits(commands.units, id="undo/units"),
        RestoreSysctls(commands.sysctls, id="undo/sysctl"),
        RestoreSwap(commands.swaps, id="undo/swap"),
    )
    notes = [f"run {run.name}, {run.outcome}, is taken back"]
    if release:
        notes.append(DATA_DISK_STAYS)
    if commands.modules:
        notes.append(f"kernel modules stay loaded until a reboot: {', '.join(commands.modules)}")
    if changed_cluster(run):
        notes.append("what the run changed in the cluster stays")
    if view.stat(proof.PATH) is not None:
        notes.append(f"what vip-probe saw here before ({proof.PATH}) stays")
    foreign = record.foreign_folders if record and is_first else ()
    notes += [f"{folder} held something before and is left alone" for folder in foreign]
    notes.append("this installer (/opt/airgap-bundle) and its journal (/var/lib/airgap-bundle/journal) stay")
    notes.append(custody.STAYS)
    return Plan((Phase("undo", steps),), tuple(notes))


def _images(run: Run) -> RestoreImages:
    before, pinned = images_before(run)
    return RestoreImages(ImageStore(_SOCKET), before, pinned)


def undo(node: Node, run: Run, plan: Plan, report: Report, journal_folder: Path) -> tuple[StepResult, ...]:
    """Carries the plan out. Until it has ended, the run counts as not undone: the same command goes on."""
    demand_root(node)
    edited = [path for step in plan.steps if isinstance(step, RestoreFiles) for path in step.edited(node)]
    record = Installed.read(node)
    with (
        custody.noted(node, "undo", record.identity if record else "", f"run {run.name}"),
        open_journal(journal_folder, "undo", undoes=run.name) as journal,
    ):
        recording = RecordingNode(node, journal, keeps_content=False, except_of=edited)
        results = Executor(recording, listener(journal, report)).run(plan)
        recording.run(["systemctl", "daemon-reload"], timeout_seconds=60)
        return results
