"""The verbs of the store, where fetched bytes are kept: gc."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from bundler.terminal import guarded, path_type, progress_shown, say, say_lines

# Heavy modules are imported where they are used, so that ``bundle --help`` starts as fast as the interpreter.


@click.group("store")
def store_verbs() -> None:
    """Look after the store, where fetched bytes are kept."""


@store_verbs.command("gc")
@click.option("--store", type=path_type(), help="The store to clean.  [default: your cache folder]")
@click.option(
    "--keep-days",
    default=7,
    show_default=True,
    type=click.IntRange(0, 3650),
    metavar="DAYS",
    help="What nothing needs, unfinished downloads too, stays this long after it was written.",
)
@click.option("--plan", is_flag=True, help="Only say what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@guarded
def store_gc(store: Path | None, keep_days: int, plan: bool, as_json: bool) -> None:
    """Remove from the store what nothing needs any more.

    What a lock needs stays as long as its file is where a build wrote or read
    it. Builds that are running are waited for; those that start meanwhile wait.
    """
    from bundler import cleaning
    from bundler.report import cleaning_document, cleaning_lines
    from bundler.store import default_store_path

    opened = cleaning.open_store(store or default_store_path(os.environ), progress_shown().say, alone=not plan)
    finding = cleaning.look(opened, keep_days * 24 * 3600)
    if not plan:
        cleaning.remove(finding)
    if as_json:
        say(json.dumps(cleaning_document(finding, plan=plan)))
    else:
        say_lines(cleaning_lines(finding, keep_days=keep_days, plan=plan))
