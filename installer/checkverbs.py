"""The verb that tells what a check is for: explain."""

from __future__ import annotations

import click

from installer.terminal import say


@click.command()
@click.argument("name", required=False)
def explain(*, name: str | None) -> None:
    """Say what a check looks at and why it matters; without NAME, list them all."""
    from installer.check import named
    from installer.checktext import explain_lines, list_lines
    from installer.preflight import AREAS, CHECKS

    lines = list_lines(AREAS) if name is None else explain_lines(named(CHECKS, name, where=f"explain {name[:40]}"))
    say("\n".join(lines))
