"""The two voices of the installer: text for people, one JSON object per line for programs. Neither prints by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from installer import checktext
from installer.bundle.errors import printable
from installer.bundle.reader import Bundle
from installer.bundle.sums import SUMS_NAME
from installer.bundle.words import spoken
from installer.check import Finding
from installer.execute import Event, Plan, PlannedStep, StepFailed, StepFinished, StepResult, StepStarted
from installer.facts import NodeFacts
from installer.forecast import PHASES, PhaseForecast, Phases, left_seconds
from installer.installed import Installed
from installer.join import PATH as JOIN_PATH
from installer.join import JoinFile, spoken_time
from installer.node import NodeView
from installer.preflight.disk import disk_of, image_bytes
from installer.preflight.subject import Subject
from installer.reading import Reading
from installer.status import Status
from installer.trust import Trust
from installer.wording import COLUMNS, count, duration, folded, rough, size

Write = Callable[[str], None]
Meter = tuple[Callable[[int], None], Callable[[], object]]
"""A progress display: told how many bytes more are read, and told to vanish."""
_SHOWN_FROM_SECONDS = 0.95
_OPERATORS_OWN = ("join.yaml", "cluster.yaml")
"""What operators lay beside the medium; see docs/bundle-format.md."""


class TextReport:
    """Lines for people. ``meter`` shows how far reading the medium is; ``open_line`` is drawn while a step runs."""

    def __init__(
        self,
        write: Write,
        *,
        meter: Callable[[int], Meter],
        open_line: Write = lambda _text: None,
    ) -> None:
        self._write = write
        self._meter = meter
        self._open_line = open_line
        self._close_meter: Callable[[], object] = lambda: None

    def verifying(self, total_bytes: int) -> Callable[[int], None]:
        """See :class:`~installer.install.Report`."""
        advance, self._close_meter = self._meter(total_bytes)
        return advance

    def verified(self, bundle: Bundle, reading: Reading) -> None:
        """See :class:`~installer.install.Report`."""
        self._close_meter()
        took = duration(reading.seconds or 0.0)
        self._line("bundle", f"{_named(bundle)}  verified {size(reading.read_bytes)} in {took}")
        if unexpected := [name for name in reading.unexpected if name not in _OPERATORS_OWN]:
            self._fold("  warn  ", f"on the medium and not in {SUMS_NAME}, so not proven: {', '.join(unexpected)}")

    def unread(self, bundle: Bundle) -> None:
        """See :class:`~installer.install.Report`."""
        self._line("bundle", f"{_named(bundle)}  installed here")

    def trusted(self, bundle: Bundle, trust: Trust) -> None:
        """See :class:`~installer.install.Report`."""
        self._line("", spoken(bytes.fromhex(bundle.identity.hex)))
        for signer in trust.signers:
            self._line("signer", f"{signer.fingerprint}  {trust.words()}")
            self._line("", signer.words)
        if not trust.signers:
            self._line("signer", trust.words())

    def node(self, facts: NodeFacts, name: str, address: str) -> None:
        """See :class:`~installer.install.Report`."""
        runtime = facts.runtime.version if facts.runtime else "none"
        kernel = facts.kernel.partition("-")[0]
        self._line("node", f"{name}  {address}  {facts.os_release.name}  kernel {kernel}  containerd: {runtime}")

    def preflight(self, findings: tuple[Finding, ...]) -> None:
        """See :class:`~installer.install.Report`."""
        self._line("preflight", checktext.summary(findings))
        for line in checktext.finding_lines(findings):
            self._write(line)

    def planned(
        self, plan: Plan, steps: tuple[PlannedStep, ...], subject: Subject, phases: Phases, reading: Reading
    ) -> None:
        """See :class:`~installer.install.Report`."""
        wanted = sum(1 for item in steps if item.check.satisfied)
        parts = [count(len(steps), "step"), f"{wanted} already as wanted"]
        root, platform = subject.config.containerd_root, subject.facts.platform
        if wanted < len(steps) and platform is not None:
            disk = subject.facts.data_disk
            comes = disk.device if disk is not None and not disk.is_mounted else None
            free_bytes = comes.size_bytes if comes else disk_of(subject.facts.disks, root).free_bytes
            parts.append(f"images {size(image_bytes(subject, platform))} under {root} ({size(free_bytes)} free)")
        if phases:
            parts.append(f"about {rough(left_seconds(phases))}")
        self._line("plan", ", ".join(parts))
        if phases and reading.is_done:
            self._line("medium", reading.words())
        for note in plan.notes:
            self._line("", note)

    def phases(self, phases: Phases, took: Mapping[str, float]) -> None:
        """See :class:`~installer.install.Report`."""
        for line in phase_lines(phases, took):
            self._write(line)

    def dry_run(self, steps: tuple[PlannedStep, ...]) -> None:
        """Each step with what it would change."""
        for number, item in enumerate(steps, start=1):
            word = ("proven" if item.check.proof else "as wanted") if item.check.satisfied else "to do"
            detail = item.check.detail if item.check.satisfied else item.step.title
            self._fold(_step_head(number, len(steps), item.step.id, word), detail)
            for change in item.check.changes if not item.check.satisfied else ():
                self._fold("        ", change)

    def going_back(self, plan: Plan, steps: tuple[PlannedStep, ...]) -> None:
        """See :class:`~installer.install.Report`."""
        self._write("This will be done:")
        for item in steps:
            if not item.check.satisfied:
                self._fold(f"  {item.step.id:<19} ", item.step.title)
                for change in item.check.changes:
                    self._fold("    ", change)
        for note in plan.notes:
            self._line("note", note)

    def step(self, event: Event) -> None:
        """See :class:`~installer.install.Report`."""
        if isinstance(event, StepStarted):
            head = _step_head(event.number, event.total, event.step.id, "…")
            self._open_line(f"{head}{printable(event.step.title)}"[:COLUMNS])
        elif isinstance(event, StepFinished):
            result = event.result
            took = duration(result.seconds) if result.seconds >= _SHOWN_FROM_SECONDS else ""
            self._fold(_step_head(event.number, event.total, result.step_id, result.outcome), result.detail, took)
        else:
            head = _step_head(event.number, event.total, event.step_id, "failed")
            self._fold(head, event.error.message, duration(event.seconds))

    def _line(self, label: str, text: str) -> None:
        self._fold(f"{label:<10} ", text)

    def _fold(self, head: str, text: str, tail: str = "") -> None:
        for line in folded(head, printable(text), tail):
            self._write(line)


class JsonReport:
    """One JSON object per line, each with its ``event``."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def emit(self, event: str, **fields: Any) -> None:
        """Writes one event."""
        self._write(json.dumps({"event": event} | fields, sort_keys=True))

    def verifying(self, total_bytes: int) -> Callable[[int], None]:
        """See :class:`~installer.install.Report`."""
        self.emit("verifying", total_bytes=total_bytes)
        return lambda _read: None

    def verified(self, bundle: Bundle, reading: Reading) -> None:
        """See :class:`~installer.install.Report`."""
        self._bundle(bundle, verified=True, seconds=round(reading.seconds or 0.0, 3), reading=asdict(reading))

    def unread(self, bundle: Bundle) -> None:
        """See :class:`~installer.install.Report`."""
        self._bundle(bundle, verified=False)

    def _bundle(self, bundle: Bundle, **fields: Any) -> None:
        index = bundle.index
        fields |= {"name": index.name, "kubernetes": index.kubernetes, "platforms": list(index.platforms)}
        self.emit("bundle", identity=str(bundle.identity), size_bytes=bundle.size_bytes, **fields)

    def trusted(self, bundle: Bundle, trust: Trust) -> None:
        """See :class:`~installer.install.Report`."""
        signers = [{"fingerprint": signer.fingerprint, "words": signer.words} for signer in trust.signers]
        self.emit("trust", by=trust.by, signers=signers, identity_words=spoken(bytes.fromhex(bundle.identity.hex)))

    def node(self, facts: NodeFacts, name: str, address: str) -> None:
        """See :class:`~installer.install.Report`."""
        self.emit("node", name=name, address=address, facts=facts.to_dict())

    def preflight(self, findings: tuple[Finding, ...]) -> None:
        """See :class:`~installer.install.Report`."""
        self.emit("preflight", findings=[finding.to_dict() for finding in findings])

    def planned(
        self, plan: Plan, steps: tuple[PlannedStep, ...], subject: Subject, phases: Phases, reading: Reading
    ) -> None:
        """See :class:`~installer.install.Report`."""
        found = {"steps": _planned(steps), "forecast": [asdict(phase) for phase in phases]}
        self.emit("plan", role=subject.role, notes=list(plan.notes), reading=asdict(reading), **found)

    def phases(self, phases: Phases, took: Mapping[str, float]) -> None:
        """See :class:`~installer.install.Report`."""
        seconds = {name: round(value, 3) for name, value in took.items()}
        self.emit("phases", forecast=[asdict(phase) for phase in phases], took_seconds=seconds)

    def dry_run(self, steps: tuple[PlannedStep, ...]) -> None:
        """See :class:`~installer.install.Report`; the plan event has said it all."""

    def going_back(self, plan: Plan, steps: tuple[PlannedStep, ...]) -> None:
        """See :class:`~installer.install.Report`."""
        self.emit("plan", notes=list(plan.notes), steps=_planned(steps))

    def step(self, event: Event) -> None:
        """See :class:`~installer.install.Report`."""
        if isinstance(event, StepStarted):
            self.emit("step", id=event.step.id, number=event.number, total=event.total, outcome="started")
        elif isinstance(event, StepFinished):
            result, seconds = event.result, round(event.result.seconds, 3)
            fields = {"outcome": result.outcome, "detail": result.detail, "seconds": seconds}
            self.emit("step", id=result.step_id, number=event.number, total=event.total, **fields)
        elif isinstance(event, StepFailed):
            fields = {"outcome": "failed", "error": event.error.to_dict(), "seconds": round(event.seconds, 3)}
            self.emit("step", id=event.step_id, number=event.number, total=event.total, **fields)


def _planned(steps: tuple[PlannedStep, ...]) -> list[dict[str, Any]]:
    return [
        {
            "id": item.step.id,
            "title": item.step.title,
            "satisfied": item.check.satisfied,
            "detail": item.check.detail,
            "changes": list(item.check.changes),
        }
        for item in steps
    ]


def _named(bundle: Bundle) -> str:
    version = f"v{bundle.index.kubernetes.lstrip('v')}"
    return f"{version} {', '.join(bundle.index.platforms)}  identity {bundle.identity.short}…"


def _step_head(number: int, total: int, step_id: str, word: str) -> str:
    width = len(str(total))
    return f" {number:>{width}}/{total} {step_id:<22} {word:<9} "


def phase_lines(phases: Phases, took: Mapping[str, float]) -> list[str]:
    """One row for each phase that takes, or took, a second or more: the forecast, the time, and the bytes."""
    expected = {phase.name: phase for phase in phases}
    rows = []
    for name in PHASES:
        phase = expected.get(name, PhaseForecast(name))
        if max(phase.seconds, took.get(name, 0.0)) < _SHOWN_FROM_SECONDS:
            continue
        about = f"about {rough(phase.seconds)}" if phase.seconds else ""
        seconds = duration(took[name]) if name in took else ""
        what = [f"{size(phase.read_bytes)} to read"] if phase.read_bytes else []
        what += [f"{size(phase.unpack_bytes)} unpacked"] if phase.unpack_bytes else []
        rows.append(f"  {name:<8} {about:<12} {seconds:>8}   {', '.join(what)}".rstrip())
    return [f"{'phase':<10} {'forecast':<12} {'took' if took else '':>8}".rstrip(), *rows] if rows else []


def facts_lines(facts: NodeFacts) -> list[str]:
    """The facts an operator looks for, as text."""
    addresses = ", ".join(f"{item.address}/{item.prefix_length} ({item.interface})" for item in facts.addresses)
    disks = {disk.mount: disk for disk in facts.disks.values()}
    missing = [name for name, state in facts.modules.items() if state == "missing"]
    absent = [tool for tool, path in facts.tools.items() if path is None]
    rows = (
        ("host", f"{facts.hostname}  {facts.machine}  {facts.os_release.name}  kernel {facts.kernel}"),
        ("size", f"{count(facts.cpus, 'processor')}, {size(facts.memory_bytes)} memory"),
        ("addresses", addresses or "none"),
        ("route", "a default route" if facts.has_default_route else "no default route"),
        ("disks", ", ".join(f"{mount} {size(disk.free_bytes)} free" for mount, disk in sorted(disks.items()))),
        ("swap", ", ".join(f"{swap.device} {size(swap.size_bytes)}" for swap in facts.swaps) or "none"),
        ("cgroups", f"version {facts.cgroup_version}"),
        ("systemd", "running" if facts.systemd else "not running"),
        ("modules", f"missing {', '.join(missing)}" if missing else "all there"),
        ("tools", f"missing {', '.join(absent)}" if absent else "all there"),
        ("firewall", ", ".join(facts.firewalls) or "none active"),
        ("containerd", f"{facts.runtime.version} at {facts.runtime.program}" if facts.runtime else "none"),
        ("cluster", ", ".join(facts.kubernetes.paths) or "in none"),
        ("installed", _installed(facts.installed)),
        ("clock", spoken_time(facts.now_seconds) + (", synchronised" if facts.clock_synchronised else "")),
    )
    return [line for label, text in rows for line in folded(f"{label:<10} ", printable(text))]


def status_lines(status: Status) -> list[str]:
    """The status as text."""
    lines = [f"{'installed':<10} {_installed(status.installed)}"]
    if status.last_run is not None:
        lines.append(f"{'last run':<10} {status.last_run}  {status.last_outcome}")
    lines += [f"{unit:<10} {printable(state)}" for unit, state in status.services.items()]
    lines += _drift_lines(status)
    lines += _custody_lines(status)
    total = len(status.steps)
    for number, step in enumerate(status.steps, start=1):
        lines += folded(_step_head(number, total, step.id, step.outcome), printable(step.detail))
    return lines


def _custody_lines(status: Status) -> list[str]:
    """Who did what here last."""
    lines, label = [], "custody"
    for entry in status.custody:
        identity = f"  {entry.identity[:19]}…" if entry.identity else ""
        detail = f"  {entry.detail}" if entry.detail else ""
        text = f"{entry.at}  {entry.user}  {entry.event} {entry.result}{identity}{detail}"
        lines += folded(f"{label:<10} ", printable(text))
        label = ""
    return lines


def _drift_lines(status: Status) -> list[str]:
    """How much is as installed, and each thing that is not, with what puts it back."""
    strayed = [item for item in status.items if item.state != "as installed"]
    if not status.items:
        return []
    lines = [f"{'state':<10} {len(status.items) - len(strayed)} of {count(len(status.items), 'thing')} as installed"]
    for item in strayed:
        lines += folded(f"  {item.state:<8} ", f"{item.kind} {printable(item.name)}")
        if item.wanted:
            lines += folded(f"{'':<11}", f"wanted {item.wanted}  got {printable(item.got) or 'nothing'}")
    if strayed and status.installed is not None:
        join = " --join join.yaml" if status.installed.role == "worker" else ""
        lines.append(f"{'next':<10} sudo ./install --role {status.installed.role}{join}  puts it back, from the medium")
        lines.append(f"{'':<10} {status.installed.name}, identity {status.installed.identity.short}…")
    return lines


def summary(results: tuple[StepResult, ...]) -> str:
    """How an install ended, in one line: what its readiness step said, and how much was done."""
    changed = sum(1 for result in results if result.outcome == "changed")
    done = (
        f"{changed} of {count(len(results), 'step')} changed" if changed else "nothing to do, everything is as wanted"
    )
    ready = [result.detail for result in results if result.step_id == "cluster/ready"]
    return "; ".join([*ready, done])


def next_lines(view: NodeView, role: str) -> list[str]:
    """What the operator can do now: look, and add the nodes that are still to come."""
    if role == "worker":
        return ["Next", "  on a control-plane node:  kubectl get nodes"]
    lines = ["Next", "  kubectl get nodes                       KUBECONFIG=/etc/kubernetes/admin.conf"]
    text = view.read_text(JOIN_PATH)
    if text is None:
        return [*lines, "  for further nodes, here:  sudo airgap-bundle join-file > join.yaml"]
    join = JoinFile.from_text(text, where=JOIN_PATH)
    lines += [f"  copy {JOIN_PATH} to the next node, then there:"]
    worker = f"    sudo ./install --role worker --join join.yaml    until {spoken_time(join.token_expires_seconds)}"
    if join.certificate_key_expires_seconds is None:
        return [*lines, worker]
    control_plane = spoken_time(join.certificate_key_expires_seconds)
    lines += [worker, f"    sudo ./install --role cp     --join join.yaml    until {control_plane}"]
    record = Installed.read(view)
    rest = [node for node in join.cluster.nodes if record is None or node.name != record.node_name]
    return lines + [f"  {word:<10} {node}" for word, node in zip(["to come", *[""] * len(rest)], rest, strict=False)]


def _installed(record: Installed | None) -> str:
    if record is None:
        return "nothing by this tool"
    version, ended = record.kubernetes.lstrip("v"), "" if record.state == "done" else ", not finished"
    return f"v{version} as {record.role} at {record.address}{ended}  identity {record.identity.short}…"
