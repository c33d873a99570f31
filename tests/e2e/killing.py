"""Killing an install on a machine as soon as its journal says that a given step has ended: kill -9, no warning."""

from __future__ import annotations

import shlex

from tests.lab.errors import LabError
from tests.lab.machine import Machine

JOURNAL = "/var/lib/airgap-bundle/journal"
LOG = "/var/log/killed-install.log"
ENDED_BEFORE = 3
_SCRIPT = """\
newest() { ls {journal} 2>/dev/null | grep '[.]jsonl$' | tail -n 1; }
before=$(newest)
setsid sh -c {command} >>{log} 2>&1 </dev/null &
process=$!
while kill -0 "$process" 2>/dev/null; do
  run=$(newest)
  if [ "$run" != "$before" ] && grep -F {step} {journal}/"$run" | grep -Eq {ended}; then
    kill -s KILL -- "-$process"
    wait "$process" 2>/dev/null
    exit 0
  fi
done
exit {ended_before}
"""


def kill_script(command: str, step_id: str, *, journal: str = JOURNAL, log: str = LOG) -> str:
    """A shell script that runs ``command`` and kills it, with all it started, once the step has ended in its journal.

    It ends with :data:`ENDED_BEFORE` if the command came to its own end first.
    """
    values = {
        "journal": shlex.quote(journal),
        "log": shlex.quote(log),
        "command": shlex.quote(command),
        "step": shlex.quote(f'"id": "{step_id}"'),
        "ended": shlex.quote('"outcome": "(changed|proven|as wanted)"'),
        "ended_before": str(ENDED_BEFORE),
    }
    script = _SCRIPT
    for name, value in values.items():
        script = script.replace(f"{{{name}}}", value)
    return script


def kill_after(machine: Machine, media: str, command: str, step_id: str, *, timeout_seconds: float) -> None:
    """Starts ``command`` from the medium and kills it after ``step_id``; :class:`LabError` if it was not killed."""
    script = kill_script(f"cd {shlex.quote(media)} && exec {command}", step_id)
    done = machine.run(script, timeout_seconds=timeout_seconds)
    if done.code != 0:
        got = "it ended by itself" if done.code == ENDED_BEFORE else done.ending()
        raise LabError("the install was not killed", where=f"{machine.name}: after {step_id}", got=got)
