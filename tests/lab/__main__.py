"""The lab's command line: ``python -m tests.lab serve --profile mini --dir DIR``."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import click

from installer.errors import OperatorError
from tests.lab.progress import say
from tests.lab.upstream import PROFILES, serving

_INTERRUPTED = 130


@click.group()
def main() -> None:
    """A test lab: upstreams on loopback and machines without a way out."""


@main.command()
@click.option("--profile", type=click.Choice(PROFILES), default="mini", show_default=True, help="What to serve.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), required=True, help="Gets mirror.yaml and catalog/.")
@click.option(
    "--binaries",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Release binaries to serve in the real profile; those that are not there are compiled.",
)
def serve(profile: str, folder: Path, binaries: Path | None) -> None:
    """Serves an upstream until SIGTERM or Ctrl-C; prints one line of JSON when it is ready."""
    is_ready = False
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        with serving(profile, folder.resolve(), binaries=binaries) as served:
            is_ready = True
            say("ready", f"{profile}: bundle build --k8s 1.30 --mirror {served.mirror} --catalog {served.catalog}")
            print(json.dumps({"ready": True, **served.to_dict()}), flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        say("stopped", profile)
        sys.exit(0 if is_ready else _INTERRUPTED)


@main.command()
def demo() -> None:
    """Shows the main job from end to end on a throwaway machine, in a few minutes."""
    from tests.lab.demo import show

    show()


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Unwinds once, so that what was started is stopped; a second signal does not cut that short."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def run() -> None:
    """Runs the command line; errors are told on standard error and give their family's exit code."""
    try:
        main(prog_name="python -m tests.lab")
    except OperatorError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    run()
