"""The verbs that judge a node that is there and tell what a check is for: doctor, explain."""

from __future__ import annotations

import json
from typing import Any

import click

from installer.terminal import say, this_machine

# Everything else is imported by the verb that needs it, so that --help answers at once.


@click.command()
@click.option("--only", multiple=True, metavar="CHECK", help="Make only this check. Repeatable.")
@click.option("--ignore", multiple=True, metavar="CHECK", help="Do not count what this check finds. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def doctor(*, only: tuple[str, ...], ignore: tuple[str, ...], as_json: bool) -> None:
    """Say why this node is not well, worst last; nothing is changed. Works while the API is down."""
    from installer.check import Choice
    from installer.checktext import diagnosis_lines
    from installer.doctor import CHECKS, demand_well, diagnose
    from installer.doctor.health import look_at_health
    from installer.install import demand_root
    from installer.journal import FOLDER

    choice, view = Choice(only, ignore), this_machine()
    choice.demand_known(CHECKS)
    demand_root(view)
    health = look_at_health(view, FOLDER)
    findings = diagnose(health, choice)
    if as_json:
        say(json.dumps({"event": "doctor", "findings": [item.to_dict() for item in findings]}, sort_keys=True))
    else:
        say("\n".join(diagnosis_lines(findings)))
    demand_well(findings, health.facts.hostname)


@click.command()
@click.argument("name", required=False)
def explain(*, name: str | None) -> None:
    """Say what a check looks at and why it matters; without NAME, list them all."""
    from installer import doctor as health
    from installer import preflight
    from installer.check import Check, named
    from installer.checktext import explain_lines, list_lines

    if name is None:
        say("\n".join(list_lines([("Before an install", preflight.AREAS), ("Of a node that is there", health.AREAS)])))
        return
    checks: list[Check[Any]] = [*preflight.CHECKS, *health.CHECKS]
    say("\n".join(explain_lines(named(checks, name, where=f"explain {name[:40]}"))))
