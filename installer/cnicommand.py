"""The verb group ``cni``: changing the cluster's pod network, one node after the other."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from installer.terminal import demand_yes, say_end, screen
from installer.trustoptions import demand_of, trust_options

# Everything else is imported by the verb that needs it, so that --help answers at once.


def cni_group(media_variable: str) -> click.Group:
    """The group; ``media_variable`` names the environment variable that says where the medium is."""

    @click.group("cni")
    def cni() -> None:
        """Change the cluster's pod network."""

    @cni.command()
    @click.option("--to", "wanted", required=True, metavar="NAME", help="The pod network that the medium brings.")
    @click.option(
        "--media",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="DIR",
        help="The media set (found by itself); repeat it for each disc of a split one.",
    )
    @trust_options
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
    def switch(*, wanted: str, media: tuple[Path, ...], yes: bool, as_json: bool, **trusting: Any) -> None:
        """Bring this node over to another pod network: the first control plane first, then every other node.

        Lists what will be done, and asks. Cut off anywhere, the same command goes on.
        """
        from installer import custody
        from installer.cniswitch import carry_out_switch, plan_switch, prepare_switch
        from installer.execute import look
        from installer.install import demand_root
        from installer.journal import FOLDER
        from installer.localnode import LocalNode
        from installer.medium import judge_medium, media_folders, open_bundle
        from installer.nodelock import node_lock
        from installer.reading import needed_blobs, read_without_spool
        from installer.trust import keep

        node, began = LocalNode(), time.monotonic()
        demand_root(node)
        report = screen(as_json=as_json)
        folder, *further = media_folders(media, os.environ.get(media_variable))
        with ExitStack() as held:
            held.enter_context(node_lock(FOLDER, "cni switch"))
            held.enter_context(custody.refusal_noted(node))
            trust = judge_medium(folder, node, demand_of(trusting))
            bundle = held.enter_context(open_bundle(folder, node, trust, further))
            found = prepare_switch(node, bundle, wanted)
            plan = plan_switch(node, found)
            if not plan.phases:
                say_end(as_json, plan.notes[0], time.monotonic() - began)
                return
            needed = needed_blobs(bundle.index, found.record.role, found.platform, found.config)
            read_without_spool(bundle, needed, report)
            report.going_back(plan, look(plan, node))
            if not yes:
                demand_yes("Change the pod network on this node?", "cni switch")
            began = time.monotonic()
            keep(node, trust)
            with custody.noted(node, "cni switch", bundle.identity, wanted, signers=trust.signers):
                carry_out_switch(node, plan, found, report, FOLDER)
        say_end(as_json, f"the pod network is {wanted} on this node", time.monotonic() - began)

    return cni
