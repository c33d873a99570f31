"""The verb ``vip-probe``: does the address of ``endpoint.mode: kube-vip`` move between two control planes here?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from installer.terminal import say, say_end

if TYPE_CHECKING:
    from installer.node import NodeView
    from installer.vip.ask import Found
    from installer.vip.question import Question
    from installer.vip.site import Site

# Everything else is imported by the verb that needs it, so that --help answers at once.

_SHORTEST_SECONDS, _LONGEST_SECONDS = 5, 3600
_TIMEOUT_SECONDS = 3.0
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _options(command: _Command) -> _Command:
    existing = click.Path(path_type=Path)
    for option in reversed(
        (
            click.option("--config", type=existing, metavar="FILE", help="cluster.yaml, which names the nodes."),
            click.option("--join", type=existing, metavar="FILE", help="join.yaml, which has the cluster's."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object per line."),
        )
    ):
        command = option(command)
    return command


@click.group("vip-probe")
def vip_probe() -> None:
    """Try whether the address of kube-vip moves, before the install.

    \b
    cp-1$ sudo ./install vip-probe hold --config cluster.yaml
    cp-2$ sudo ./install vip-probe ask --config cluster.yaml
    then the other way round: hold on cp-2, ask on cp-1

    An install with endpoint.mode kube-vip and more than one control plane
    is refused until the address has answered on the node. The default,
    endpoint.mode local, needs no address that moves.
    """


@vip_probe.command()
@_options
@click.option(
    "--for",
    "for_seconds",
    type=click.IntRange(_SHORTEST_SECONDS, _LONGEST_SECONDS),
    default=300,
    metavar="SECONDS",
    show_default=True,
    help="How long; Ctrl-C ends it before.",
)
def hold(*, config: Path | None, join: Path | None, for_seconds: int, as_json: bool) -> None:
    """Hold the address here for a while, and answer who asks.

    It is announced by ARP and removed at the end. Should this program be
    killed, the kernel removes it when the time is over.
    """
    from installer.journal import FOLDER
    from installer.localnode import LocalNode
    from installer.nodelock import node_lock
    from installer.vip.arp import open_link
    from installer.vip.hold import demand_free_port, demand_unheld
    from installer.vip.hold import hold as carry_out
    from installer.vip.question import open_door

    node = LocalNode()
    site = _site(node, config, join)
    began_seconds = node.now_seconds()
    lock = node_lock(FOLDER, "vip-probe hold")
    with lock, open_door(site.port) as found, open_link(site.interface) as link:
        door = demand_free_port(node, site, found)
        demand_unheld(node, site, link)
        _holding(site, link.mac, for_seconds, as_json=as_json)
        answered = carry_out(
            node, site, link, door, for_seconds=for_seconds, tell=lambda question: _asked(question, site, as_json)
        )
    what = f"{site.address} is off {site.interface} again; {answered} answered there"
    say_end(as_json, what, node.now_seconds() - began_seconds)


@vip_probe.command()
@_options
def ask(*, config: Path | None, join: Path | None, as_json: bool) -> None:
    """Ask for the address from here, while another control plane has it.

    Who answered, and from which MAC, is kept for the install. Where a
    cluster runs already, this alone is enough: its kube-vip holds it.
    """
    from installer.journal import FOLDER
    from installer.localnode import LocalNode
    from installer.nodelock import node_lock
    from installer.vip.ask import ask as carry_out
    from installer.vip.question import put_question

    node = LocalNode()
    site = _site(node, config, join)
    with node_lock(FOLDER, "vip-probe ask"):
        found = carry_out(node, site, lambda host: put_question(site.here.name, host, site.port, _TIMEOUT_SECONDS))
    _answered(found, site, as_json=as_json)


def _site(view: NodeView, config: Path | None, join: Path | None) -> Site:
    """What the files say of this machine; the node's own cluster.yaml where none is given."""
    from installer.given import read_config, read_given
    from installer.install import demand_root
    from installer.join import JoinFile
    from installer.vip.site import site_of

    demand_root(view)
    joined = None if join is None else JoinFile.from_text(read_given(join, "--join", "join.yaml"), where=str(join))
    return site_of(view, read_config(view, config, joined)[0])


def _holding(site: Site, mac: str, for_seconds: int, *, as_json: bool) -> None:
    from installer.wording import duration

    if as_json:
        fields = {"address": site.address, "interface": site.interface, "mac": mac, "name": site.here.name}
        say(json.dumps({"event": "holding", "for_seconds": for_seconds} | fields, sort_keys=True))
        return
    _lines("holding", f"{site.address} on {site.interface} ({mac}) as {site.here.name}, for {duration(for_seconds)}")
    _lines("", "Ctrl-C ends it; killed, the kernel removes the address soon after that time")
    _lines("next", f"on {site.others[0].name}:  sudo ./install vip-probe ask --config cluster.yaml")


def _asked(question: Question, site: Site, as_json: bool) -> None:
    fields = {"name": question.name, "came_from": question.came_from, "asked_at": question.asked_at}
    if as_json:
        say(json.dumps({"event": "asked"} | fields, sort_keys=True))
    else:
        lost = "" if question.asked_at == site.address else ", where it did not find the address itself"
        _lines("asked", f"by {question.name} ({question.came_from}) at {question.asked_at}{lost}")


def _answered(found: Found, site: Site, *, as_json: bool) -> None:
    from installer.vip.proof import PATH
    from installer.wording import duration

    holder, before = found.holder, found.before
    if as_json:
        moved_from = {"name": before.name, "mac": before.mac} if before else None
        fields = {"address": site.address, "mac": found.mac, "own_mac": found.own_mac, "record": PATH}
        seen = {"by": holder.to_dict(), "moved_from": moved_from, "after_seconds": round(found.after_seconds, 3)}
        say(json.dumps({"event": "answered"} | fields | seen, sort_keys=True))
        return
    text = f"{site.address} by {holder.name} {holder.address}, from {found.mac}"
    _lines("answered", f"{text}, after {duration(found.after_seconds)}")
    if found.mac != found.own_mac:
        _lines("", f"{holder.name} itself is at {found.own_mac}: something between answers ARP for it")
    if before:
        _lines("moved", f"from {before.mac}, {before.name}, which answered last")
    _lines("kept", PATH)
    _lines("next", "the other way round, if that is not done yet:")
    _lines("", "here:  sudo ./install vip-probe hold --config cluster.yaml")
    _lines("", f"on {holder.name}:  sudo ./install vip-probe ask --config cluster.yaml")


def _lines(label: str, text: str) -> None:
    from installer.bundle.errors import printable
    from installer.wording import folded

    for line in folded(f"{label:<10} ", printable(text)):
        say(line)
