"""Killing an install on a machine at a moment of its own journal: kill -9, no warning."""

from __future__ import annotations

import shlex

from tests.e2e.moments import Moment
from tests.lab.errors import LabError
from tests.lab.machine import Machine

JOURNAL = "/var/lib/airgap-bundle/journal"
LOG = "/var/log/killed-install.log"
CGROUP = "/sys/fs/cgroup/killed-install"
ENDED_BEFORE = 3
AT_ITS_END = 1_000_000
"""More records than any step has."""
_SCRIPT = """\
newest() { ls {journal} 2>/dev/null | grep '[.]jsonl$' | tail -n 1; }
before=$(newest)
mkdir -p {cgroup}
setsid sh -c 'echo $$ >"$1"/cgroup.procs; exec sh -c "$2"' sh {cgroup} {command} >>{log} 2>&1 </dev/null &
process=$!
run=
while [ -n {step} ] && kill -0 "$process" 2>/dev/null; do
  [ -n "$run" ] || run=$(newest)
  [ "$run" != "$before" ] || run=
  if [ -n "$run" ]; then
    records=$(grep -cF {step} {journal}/"$run")
    [ "$records" -lt {records} ] || break
    if [ "$records" -gt 0 ] && grep -F {id} {journal}/"$run" | grep -Eq {ended}; then break; fi
  fi
  sleep 0.01
done
sleep {delay}
if kill -0 "$process" 2>/dev/null; then
  {kill}
  wait "$process" 2>/dev/null
  exit 0
fi
wait "$process" && exit {ended_before}
tail -n 40 {log}
exit 1
"""
_KILL_ALONE = 'kill -s KILL -- "-$process"'
_KILL_WHOLE = "echo 1 >{cgroup}/cgroup.kill"


def kill_script(command: str, moment: Moment, *, journal: str = JOURNAL, log: str = LOG, cgroup: str = CGROUP) -> str:
    """A shell script that runs ``command`` and kills it at ``moment``.

    It ends with :data:`ENDED_BEFORE` if the command came to its own end first, and with 1 and the end of its log if
    that was a failure. What the command starts is in ``cgroup``, whatever session it is in.
    """
    values = {
        "kill": _KILL_WHOLE if moment.whole else _KILL_ALONE,
        "journal": shlex.quote(journal),
        "log": shlex.quote(log),
        "cgroup": shlex.quote(cgroup),
        "command": shlex.quote(command),
        "step": shlex.quote(f'"{moment.step}"' if moment.step else ""),
        "id": shlex.quote(f'"id": "{moment.step}"'),
        "records": str(moment.records),
        "delay": f"{moment.delay_seconds:.3f}",
        "ended": shlex.quote('"outcome": "(changed|proven|as wanted)"'),
        "ended_before": str(ENDED_BEFORE),
    }
    script = _SCRIPT
    for name, value in values.items():
        script = script.replace(f"{{{name}}}", value)
    return script


def killed_at(machine: Machine, media: str, command: str, moment: Moment, *, timeout_seconds: float) -> bool:
    """Starts ``command`` from the medium and kills it at ``moment``; whether the kill came in time.

    :class:`LabError` if the command failed by itself before that.
    """
    script = kill_script(f"cd {shlex.quote(media)} && exec {command}", moment)
    done = machine.run(script, timeout_seconds=timeout_seconds)
    if done.code not in (0, ENDED_BEFORE):
        raise LabError("the install failed before it was killed", where=machine.name, got=done.ending())
    return done.code == 0


def kill_after(machine: Machine, media: str, command: str, step_id: str, *, timeout_seconds: float) -> None:
    """Starts ``command`` from the medium and kills it after ``step_id``; :class:`LabError` if it was not killed."""
    moment = Moment(step_id, AT_ITS_END, 0.0, whole=True)
    if not killed_at(machine, media, command, moment, timeout_seconds=timeout_seconds):
        raise LabError("the install was not killed", where=f"{machine.name}: after {step_id}", got="it ended by itself")
