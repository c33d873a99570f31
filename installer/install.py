"""The install verb without its screen: prepare (look only), then carry out. Everything it finds goes to a report.

Order matters: what can be judged cheaply comes first, what the node needs of the medium is verified before the node is
judged, and the journal is opened only when everything is known to be well - a refusal leaves nothing behind. The
node's lock is held from the first look on, so that what was judged is what is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import installer
from installer import custody
from installer.addons import host_needs
from installer.adoption import adopted
from installer.bundle.reader import Bundle
from installer.check import EVERY_CHECK, Choice, Finding
from installer.config import ClusterConfig
from installer.errors import InputError, OperatorError, PreflightError
from installer.execute import (
    Event,
    Executor,
    Phase,
    Plan,
    PlannedStep,
    StepFailed,
    StepFinished,
    StepResult,
    StepStarted,
    look,
)
from installer.facts import NodeFacts, gather
from installer.forecast import Phases, forecast, taken
from installer.given import read_config, read_join, saved_config
from installer.installed import CONFIG_PATH, DATA_FOLDERS, Installed
from installer.join import JoinFile
from installer.journal import Journal, open_journal
from installer.medium import judge_medium, open_bundle
from installer.node import Node, NodeView
from installer.nodelock import node_lock
from installer.plan import build_plan
from installer.preflight import CHECKS, demand_fit, run_checks
from installer.preflight.network import choose_address
from installer.preflight.subject import Subject
from installer.reading import Reading, bytes_needed, read_for
from installer.recording import RecordingNode
from installer.remaining import demand_room
from installer.remembering import RememberingView
from installer.settings import DataDiskSettings, is_device
from installer.toolcommand import ToolCommand
from installer.trust import Demand, Trust, keep


@dataclass(frozen=True)
class Request:
    """What the operator asked for: the options as given, paths not opened yet.

    ``runtime`` is the folder this installer keeps itself in on the node, if it does, and takes ``runtime_bytes`` in;
    ``further`` are folders with more parts of a split media set; ``demand`` is whose media sets are taken.
    """

    role: str
    media: Path
    config: Path | None = None
    join: Path | None = None
    address: str | None = None
    runtime: str | None = None
    data_disk: str | None = None
    checks: Choice = EVERY_CHECK
    runtime_bytes: int = 0
    further: tuple[Path, ...] = ()
    demand: Demand = field(default_factory=Demand)


class Report(Protocol):
    """Where findings go as they are made: a screen, or lines of JSON."""

    def verifying(self, total_bytes: int) -> Callable[[int], None]:
        """The medium is about to be read; the result is called with each number of bytes read."""

    def verified(self, bundle: Bundle, reading: Reading) -> None:
        """What this node needs of the medium is whole."""

    def unread(self, bundle: Bundle) -> None:
        """The medium is the one this node was installed from; it is read only if something is to be done."""

    def trusted(self, bundle: Bundle, trust: Trust) -> None:
        """Who signed the medium, and by whose word that is enough."""

    def node(self, facts: NodeFacts, name: str, address: str) -> None:
        """Which machine this is."""

    def preflight(self, findings: tuple[Finding, ...]) -> None:
        """What the checks say."""

    def planned(
        self, plan: Plan, steps: tuple[PlannedStep, ...], subject: Subject, phases: Phases, reading: Reading
    ) -> None:
        """What is to be done, roughly how long each phase of it takes, and how often the medium is read."""

    def phases(self, phases: Phases, took: Mapping[str, float]) -> None:
        """The forecast beside the seconds that each phase took, as far as it was done."""

    def dry_run(self, steps: tuple[PlannedStep, ...]) -> None:
        """What each step would change, for a dry run."""

    def going_back(self, plan: Plan, steps: tuple[PlannedStep, ...]) -> None:
        """What a reset or an undo is about to do."""

    def step(self, event: Event) -> None:
        """A step began, ended or failed."""


@dataclass(frozen=True)
class Prepared:
    """Everything an install needs to know, found by looking only."""

    bundle: Bundle
    subject: Subject
    findings: tuple[Finding, ...]
    join: JoinFile | None
    config_text: str | None
    runtime: str | None
    reading: Reading


def prepare(
    view: NodeView, request: Request, bundle: Bundle, report: Report, spool_on: Node | None = None, *, trust: Trust
) -> Prepared:
    """Verifies the medium, which may be used by ``trust``, and judges the node; raises for anything an operator gave
    wrongly. Changes nothing.

    A slow medium is spooled ``spool_on`` the node, if one is given. Where this very bundle is installed already, it is
    not read yet: most likely nothing will be taken from it.
    """
    request.checks.demand_known(CHECKS)
    join = read_join(request.join, request.role, bundle)
    config, config_text = read_config(view, request.config, join)
    config = with_data_disk(config, request.data_disk)
    disk = config.data_disk.device if config.data_disk else None
    facts = gather(
        view,
        containerd_root=config.containerd_root,
        data_disk=disk,
        files=config.named_files,
        needs=host_needs(bundle.index, request.role),
        targets=bundle.index.targets_for(request.role),
    )
    config = adopted(config, facts)
    if join is not None and not (facts.installed is not None and facts.installed.state == "done"):
        join.demand_usable(request.role, now_seconds=facts.now_seconds, where=str(request.join))
    if facts.platform is None:
        raise InputError("there is no bundle for this machine", where="uname -m", got=facts.machine)
    bundle.demand_platform(facts.platform)
    bundle.demand_installer(installer.__version__)
    bundle.demand_packing()
    address = choose_address(facts, config, request.address).address
    mtu_bytes = join.mtu_bytes if join else 0
    runtime_bytes = request.runtime_bytes if request.runtime and view.stat(request.runtime) is None else 0
    subject = Subject(facts, bundle.index, request.role, config, address, join is not None, mtu_bytes, runtime_bytes)
    if facts.installed is not None and (facts.installed.state, facts.installed.identity) == ("done", bundle.identity):
        reading = Reading(bytes_needed(bundle, subject))
        report.unread(bundle)
    else:
        reading = read_for(bundle, subject, report, spool_on)
    report.trusted(bundle, trust)
    report.node(facts, subject.node_name, address)
    findings = run_checks(subject, request.checks)
    report.preflight(findings)
    return Prepared(bundle, subject, findings, join, config_text, request.runtime, reading)


def with_data_disk(config: ClusterConfig, device: str | None) -> ClusterConfig:
    """The configuration with the data disk of the command line, if one was given there."""
    if device is None:
        return config
    if not is_device(device):
        raise InputError("not a block device's path", where="--data-disk", wanted="such as /dev/vdb1", got=device[:100])
    filesystem = config.data_disk.filesystem if config.data_disk else DataDiskSettings(device).filesystem
    return replace(config, data_disk=DataDiskSettings(device, filesystem))


def plan_of(prepared: Prepared) -> Plan:
    """The steps for what was prepared."""
    subject = prepared.subject
    plan = build_plan(
        prepared.bundle,
        subject.role,
        subject.config,
        subject.facts,
        address=subject.address,
        join=prepared.join,
    )
    if prepared.runtime is None:
        return plan
    return Plan((*plan.phases, Phase("node", (ToolCommand(prepared.runtime),))), plan.notes)


def dry_run(view: NodeView, request: Request, report: Report) -> None:
    """Says what an install would do; a node that is not fit is said to be so after that."""
    view = RememberingView(view)
    trust = judge_medium(request.media, view, request.demand)
    with open_bundle(request.media, view, trust, request.further) as bundle:
        prepared = prepare(view, request, bundle, report, trust=trust)
        plan = plan_of(prepared)
        steps = look(plan, view)
        phases = _forecast(prepared, steps)
        report.planned(plan, steps, prepared.subject, phases, prepared.reading)
        report.dry_run(steps)
        report.phases(phases, taken(bundle.index, (), prepared.reading))
        demand_fit(prepared.findings, prepared.subject.node_name)
        demand_room(prepared.subject, steps, request.checks)


def check_only(view: NodeView, request: Request, report: Report) -> tuple[Finding, ...]:
    """The preflight alone: its findings, none of them a problem."""
    trust = judge_medium(request.media, view, request.demand)
    with open_bundle(request.media, view, trust, request.further) as bundle:
        prepared = prepare(view, request, bundle, report, trust=trust)
        demand_fit(prepared.findings, prepared.subject.node_name)
        return prepared.findings


def install(node: Node, request: Request, report: Report, journal_folder: Path) -> tuple[StepResult, ...]:
    """Makes this machine a node; the results of the steps in order."""
    demand_root(node)
    with node_lock(journal_folder, "install"), custody.refusal_noted(node):
        trust = judge_medium(request.media, node, request.demand)
        with open_bundle(request.media, node, trust, request.further) as bundle:
            return _install(node, request, report, journal_folder, bundle=bundle, trust=trust)


def _install(
    node: Node, request: Request, report: Report, journal_folder: Path, *, bundle: Bundle, trust: Trust
) -> tuple[StepResult, ...]:
    view = RememberingView(node)
    prepared = prepare(view, request, bundle, report, spool_on=node, trust=trust)
    demand_fit(prepared.findings, prepared.subject.node_name)
    plan = plan_of(prepared)
    seen = look(plan, view)
    phases = _forecast(prepared, seen)
    report.planned(plan, seen, prepared.subject, phases, prepared.reading)
    if _is_known(node, prepared) and all(item.check.satisfied for item in seen):
        keep(node, trust)
        custody.note(node, "install", bundle.identity, "as wanted", request.role, signers=trust.signers)
        return _as_wanted(seen, report)
    demand_room(prepared.subject, seen, request.checks)
    reading = prepared.reading
    if not reading.is_done:
        reading = read_for(bundle, prepared.subject, report, node)
    custody.note(node, "verify", bundle.identity, "whole", trust.words(), signers=trust.signers)
    keep(node, trust)
    fields = {"identity": str(bundle.identity), "role": request.role, "kubernetes": bundle.index.kubernetes}
    with (
        custody.noted(node, "install", bundle.identity, request.role, signers=trust.signers),
        open_journal(journal_folder, "install", **fields) as journal,
    ):
        recording = RecordingNode(node, journal)
        _note_state(recording, prepared, "started")
        results = Executor(recording, listener(journal, report)).run(plan)
        _note_state(recording, prepared, "done")
        report.phases(phases, taken(bundle.index, results, reading))
        return results


def _forecast(prepared: Prepared, steps: tuple[PlannedStep, ...]) -> Phases:
    bundle, platform = prepared.bundle, prepared.subject.facts.platform
    return forecast(bundle.index, platform, steps, bundle.size_bytes, prepared.reading)


def _is_known(view: NodeView, prepared: Prepared) -> bool:
    """Whether the record on the node says all of this already."""
    return not prepared.reading.is_done and saved_config(view) == prepared.config_text


def _as_wanted(seen: tuple[PlannedStep, ...], report: Report) -> tuple[StepResult, ...]:
    """Results for a node that needs nothing: no journal is opened, so nothing at all is written."""
    results = []
    for number, item in enumerate(seen, start=1):
        result = StepResult(item.step.id, "proven" if item.check.proof else "as wanted", item.check.detail, 0.0)
        report.step(StepFinished(number, len(seen), result))
        results.append(result)
    return tuple(results)


def listener(journal: Journal, report: Report) -> Callable[[Event], None]:
    """Tells the journal first and then the report what the executor does."""

    def on_event(event: Event) -> None:
        if isinstance(event, StepStarted):
            journal.enter(event.step.id)
            journal.record("step", id=event.step.id, outcome="started")
        elif isinstance(event, StepFinished):
            result = event.result
            fields = {"outcome": result.outcome, "detail": result.detail, "seconds": round(result.seconds, 3)}
            journal.enter("")
            journal.record("step", id=result.step_id, **fields)
        elif isinstance(event, StepFailed):
            with suppress(OperatorError):  # a journal that cannot be written must not hide why the step failed
                journal.record("step", id=event.step_id, outcome="failed", error=event.error.to_dict())
            journal.enter("")
        report.step(event)

    return on_event


def demand_root(view: NodeView) -> None:
    """Raises :class:`PreflightError` for anybody but root."""
    uid = view.effective_uid()
    if uid != 0:
        raise PreflightError(
            "only root can see and change all of this machine",
            where="preflight check: root",
            wanted="user 0",
            got=f"user {uid}",
            next_step="the same command with sudo",
        )


def _note_state(node: Node, prepared: Prepared, state: str) -> None:
    """Writes the install record and the configuration where they do not say this already."""
    subject = prepared.subject
    before = Installed.read(node)
    there = [path for path in (*DATA_FOLDERS, subject.config.containerd_root) if node.stat(path) is not None]
    held = tuple(path for path in there if node.list_dir(path))
    record = Installed(
        identity=prepared.bundle.identity,
        name=prepared.bundle.index.name,
        kubernetes=prepared.bundle.index.kubernetes,
        role=subject.role,
        node_name=subject.node_name,
        address=subject.address,
        containerd_root=subject.config.containerd_root,
        state=state if before is None or before.state != "done" else "done",
        since_seconds=before.since_seconds if before else int(node.now_seconds()),
        containerd_owner=subject.containerd_owner,
        foreign_folders=before.foreign_folders if before else held,
        empty_folders=before.empty_folders if before else tuple(path for path in there if path not in held),
        machine_id=before.machine_id if before and before.machine_id else subject.facts.machine_id,
    )
    if record != before:
        record.write(node)
    if prepared.config_text is not None and prepared.config_text != saved_config(node):
        node.write_file(CONFIG_PATH, prepared.config_text.encode(), mode=0o600)
