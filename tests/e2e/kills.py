"""``./install`` of a control plane, killed again and again on fresh machines; each in the end as an undisturbed one.

One machine after the other is a chain: killed at several moments, never cleaned in between, then installed to the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from installer.journal import Run, read_runs
from tests.e2e.installed import demand_same, programs_of, state_of
from tests.e2e.killing import JOURNAL, killed_at
from tests.e2e.moments import Cut, Lots, Moment, cut_of, demand_spread
from tests.lab.errors import LabError
from tests.lab.machine import Machine
from tests.lab.phases import Phase, Phases
from tests.lab.proof import ProofError, prove_silence
from tests.lab.switch import private_network

KILLS = 50
KILLS_PER_MACHINE = 20
MOST_MACHINES = 6
COMMAND = "./install --role cp"
ADDRESS = "10.77.0.11/24"
MEMORY_BYTES = 2 << 30
INSTALL_SECONDS = 900.0


@dataclass
class Kills:
    """``media`` is the media set's folder on the medium ``disk``; ``folder`` takes the evidence of each machine."""

    phases: Phases
    folder: Path
    media: str
    disk: Path
    seed: int
    cuts: list[Cut] = field(default_factory=list)
    _wanted: str = ""
    _programs: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Raises at the first thing that does not hold; at the end there were :data:`KILLS` kills."""
        lots = self._undisturbed()
        machines = 0
        while len(self.cuts) < KILLS:
            machines += 1
            if machines > MOST_MACHINES:
                raise LabError("the installs end before they are killed", got=f"{len(self.cuts)} kills")
            moments = lots.chain(min(KILLS_PER_MACHINE, KILLS - len(self.cuts)))
            with self.phases.phase(f"Machine {machines}: up to {len(moments)} kills, then on to the end") as phase:
                self._chain(machines, moments, phase)
        with self.phases.phase(f"{len(self.cuts)} kills on {machines} machines, seed {self.seed}") as phase:
            phase.say(demand_spread(self.cuts))

    def _undisturbed(self) -> Lots:
        with self.phases.phase("An undisturbed install") as phase, self._machine("undisturbed") as machine:
            done = machine.run(f"cd {self.media} && {COMMAND}", timeout_seconds=INSTALL_SECONDS)
            if done.code != 0:
                raise LabError("the undisturbed install failed", got=done.ending())
            self._wanted, self._programs = state_of(machine), programs_of(machine)
            (self.folder / "undisturbed" / "state").write_text(self._wanted)
            (run,) = self._runs(machine, "undisturbed")
            took_seconds = run.records[-1]["at_seconds"] - run.records[0]["at_seconds"]
            lots = Lots(self.seed, run, max(0.0, done.seconds - took_seconds))
            phase.say(f"{done.seconds:.0f} s, {lots.steps} steps that change something, {len(run.records)} records")
            return lots

    @contextmanager
    def _machine(self, name: str) -> Iterator[Machine]:
        folder = self.folder / name
        folder.mkdir(parents=True)
        with private_network(folder / "stray.pcap") as switch:
            machine = Machine("cp-1", ADDRESS, switch, folder, memory_bytes=MEMORY_BYTES, disks=[self.disk])
            with machine:
                machine.mount_media()
                yield machine
                prove_silence(switch, (machine,))

    def _chain(self, number: int, moments: list[Moment], phase: Phase) -> None:
        name = f"machine-{number}"
        with self._machine(name) as machine:
            kills = 0
            for moment in moments:
                known = len(read_runs(self.folder / name / "journal"))
                was_killed = killed_at(machine, self.media, COMMAND, moment, timeout_seconds=INSTALL_SECONDS)
                runs = self._runs(machine, name)
                run = runs[-1] if len(runs) > known else None
                if not was_killed or (run and run.outcome == "done"):
                    phase.say(f"ended before {moment.told}")
                    break
                kills += 1
                cut = cut_of(run)
                self.cuts.append(cut)
                phase.say(f"{len(self.cuts):>3}  {moment.told:<48}  {cut.told}")
                self._demand_whole_programs(machine)
            done = machine.run(f"cd {self.media} && {COMMAND}", timeout_seconds=INSTALL_SECONDS)
            if done.code != 0:
                raise LabError("it does not go on to the end", where=f"after {kills} kills", got=done.ending())
            outcomes = [run.outcome for run in self._runs(machine, name)]
            if "failed" in outcomes:
                raise ProofError("the journal tells it otherwise", got=", ".join(outcomes))
            demand_same(f"after {kills} kills", self._wanted, state_of(machine))
            phase.say(f"{done.seconds:.0f} s to the end; the same as the undisturbed one")

    def _demand_whole_programs(self, machine: Machine) -> None:
        """Whatever program is there after a kill is the whole one."""
        others = sorted(programs_of(machine) - self._programs)
        if others:
            raise ProofError("a kill left a program that is not whole", got="\n".join(others))

    def _runs(self, machine: Machine, name: str) -> tuple[Run, ...]:
        """The machine's journal, copied to the evidence; files that are there already grow no more once killed."""
        folder = self.folder / name / "journal"
        folder.mkdir(exist_ok=True)
        there = machine.run(f"cd {JOURNAL} && ls").stdout.split()
        for file in there:
            if file.endswith(".jsonl") and not (folder / file).exists():
                (folder / file).write_bytes(machine.read(f"{JOURNAL}/{file}"))
        return read_runs(folder)
