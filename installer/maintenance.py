"""The verbs for a node that is there: facts, status, undo, reset, join-file. None of them needs a medium."""

from __future__ import annotations

import json
import time

import click

from installer.terminal import demand_yes, say, say_end, screen, this_machine

# Everything else is imported by the verb that needs it, so that --help answers at once.


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def facts(*, as_json: bool) -> None:
    """Show what is known about this machine; nothing is changed."""
    from installer.facts import gather
    from installer.report import facts_lines

    found = gather(this_machine())
    event = {"event": "facts"} | found.to_dict()
    say(json.dumps(event, sort_keys=True) if as_json else "\n".join(facts_lines(found)))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def status(*, as_json: bool) -> None:
    """Show what is installed here and what has changed since; nothing is changed."""
    from installer.journal import FOLDER
    from installer.report import status_lines
    from installer.status import gather_status

    found = gather_status(this_machine(), FOLDER)
    event = {"event": "status"} | found.to_dict()
    say(json.dumps(event, sort_keys=True) if as_json else "\n".join(status_lines(found)))


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def reset(*, yes: bool, as_json: bool) -> None:
    """Take this node out of its cluster and remove what was placed."""
    from installer.execute import look
    from installer.install import demand_root
    from installer.journal import FOLDER
    from installer.localnode import LocalNode
    from installer.nodelock import node_lock
    from installer.reset import plan_reset
    from installer.reset import reset as carry_out

    node = LocalNode()
    demand_root(node)
    with node_lock(FOLDER, "reset"):
        wanted = plan_reset(node, FOLDER)
        report = screen(as_json=as_json)
        report.going_back(wanted, look(wanted, node))
        if not yes:
            demand_yes("Remove all of this?", "reset")
        began = time.monotonic()
        carry_out(node, wanted, report, FOLDER)
    say_end(as_json, "this machine is no node any more", time.monotonic() - began)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def undo(*, yes: bool, as_json: bool) -> None:
    """Take back what the last install run here changed, as long as it had not begun kubeadm."""
    from installer.execute import look
    from installer.install import demand_root
    from installer.journal import FOLDER
    from installer.localnode import LocalNode
    from installer.nodelock import node_lock
    from installer.undo import plan_undo, run_to_undo
    from installer.undo import undo as carry_out

    node = LocalNode()
    demand_root(node)
    with node_lock(FOLDER, "undo"):
        run = run_to_undo(FOLDER)
        wanted, report = plan_undo(node, FOLDER, run), screen(as_json=as_json)
        report.going_back(wanted, look(wanted, node))
        if not yes:
            demand_yes("Take all of this back?", "undo")
        began = time.monotonic()
        carry_out(node, run, wanted, report, FOLDER)
    say_end(as_json, f"as before run {run.name}", time.monotonic() - began)


@click.command("join-file")
def join_file() -> None:
    """Print this cluster's join.yaml, made anew if a part of it has ended."""
    from installer.joinfile import valid_join_file
    from installer.journal import FOLDER
    from installer.localnode import LocalNode

    say(valid_join_file(LocalNode(), FOLDER).removesuffix("\n"))


VERBS: tuple[click.Command, ...] = (facts, status, undo, reset, join_file)
