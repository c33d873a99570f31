"""The ``install`` command: verbs and options in, lines and exit codes out. The only module that exits."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from installer import __version__
from installer.bundle.errors import told_without_values, trace_without_values
from installer.checkverbs import doctor, explain
from installer.cnicommand import cni_group
from installer.deltaverbs import VERBS as DELTA_VERBS
from installer.errors import InputError, OperatorError
from installer.imagesverbs import images_group
from installer.maintenance import VERBS
from installer.mediaverbs import media_verbs
from installer.terminal import say, say_end, say_error, screen, this_machine
from installer.toolcommand import COMMAND_VARIABLE
from installer.trustoptions import demand_of, trust_options
from installer.vipverbs import vip_probe

if TYPE_CHECKING:
    from installer.install import Request

# Everything else is imported by the verb that needs it, so that --help answers at once.

MEDIA_VARIABLE = "AIRGAP_MEDIA"
RUNTIME_VARIABLE = "AIRGAP_RUNTIME"
"""Where the launcher keeps this installer on the node, whether it runs from there now or not."""
UMASK = 0o022
"""Whatever the caller's: what is made here and by the programs started here has the modes that are asked for."""
RUNTIME_KIB_VARIABLE = "AIRGAP_RUNTIME_KIB"
"""What it takes there."""
_INTERRUPTED = 130
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _options(command: _Command) -> _Command:
    """The options of an install, shared by the bare command, ``plan`` and ``preflight``."""
    existing = click.Path(path_type=Path)
    command = trust_options(command)
    for option in reversed(
        (
            click.option("--role", type=click.Choice(["cp", "worker"]), help="What this machine becomes."),
            click.option("--config", type=existing, metavar="FILE", help="cluster.yaml; every field has a default."),
            click.option("--join", type=existing, metavar="FILE", help="join.yaml of the cluster to join."),
            click.option("--address", metavar="IP", help="This node's address, when it has more than one."),
            click.option("--data-disk", metavar="DEV", help="An empty disk or partition for the images."),
            click.option(
                "--media",
                type=existing,
                multiple=True,
                metavar="DIR",
                help="The media set (found by itself); repeat it for each disc of a split one.",
            ),
            click.option("--ignore", multiple=True, metavar="CHECK", help="Go on in spite of this check. Repeatable."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object per line."),
        )
    ):
        command = option(command)
    return command


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@_options
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.version_option(__version__, "--version", prog_name="install")
@click.pass_context
def cli(context: click.Context, /, *, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Makes this machine a Kubernetes node from the media set it comes with.

    \b
    sudo ./install --role cp                         the first control plane
    sudo ./install --role cp --join join.yaml        a further control plane
    sudo ./install --role worker --join join.yaml    a worker
    """
    context.obj = {"as_json": as_json}
    if context.invoked_subcommand is not None:
        given = [name for name, value in options.items() if value and name != "media"]
        if given or dry_run:
            raise click.UsageError(f"options go behind the verb: install {context.invoked_subcommand} --…")
        return
    if options["role"] is None and not any(value for name, value in options.items() if name != "media"):
        click.echo(context.get_help())
        return
    if dry_run:
        _dry_run(_request(**options), as_json=as_json)
    else:
        _install(_request(**options), as_json=as_json)


@cli.command()
@_options
def plan(*, as_json: bool, **options: Any) -> None:
    """Say what an install would do; nothing is changed."""
    _dry_run(_request(**options), as_json=as_json)


@cli.command()
@_options
@click.option("--only", multiple=True, metavar="CHECK", help="Make only this check. Repeatable.")
def preflight(*, as_json: bool, **options: Any) -> None:
    """Judge whether this machine is fit; nothing is changed."""
    from installer.checktext import fit_line
    from installer.install import check_only

    request = _request(**options)
    findings = check_only(this_machine(), request, screen(as_json=as_json))
    if not as_json:
        say(fit_line(findings, request.role))


_GROUPS = (cni_group(MEDIA_VARIABLE), images_group(MEDIA_VARIABLE))
for _verb in (*VERBS, *DELTA_VERBS, *media_verbs(MEDIA_VARIABLE), doctor, explain, vip_probe, *_GROUPS):
    cli.add_command(_verb)


def main() -> None:
    """Runs the command and exits with the code that says which kind of end it was."""
    os.umask(UMASK)
    # A lost connection must end a program that is running for us as Ctrl-C does, and not leave it to run alone.
    for sign in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(sign, _interrupt)
    sys.exit(run(sys.argv[1:]))


def _interrupt(_sign: int, _frame: object) -> None:
    raise KeyboardInterrupt


def run(arguments: list[str]) -> int:
    """Runs the command; prints what went wrong to stderr (or as JSON to stdout) and returns the exit code."""
    as_json = "--json" in arguments
    try:
        cli.main(arguments, prog_name=os.environ.get(COMMAND_VARIABLE, "install"), standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("\ninterrupted; run the same command again to go on from here", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        return 1
    except Exception as error:
        explained = _explained(error)
        say_error(explained, as_json=as_json)
        return explained.exit_code
    return 0


def _explained(error: Exception) -> OperatorError:
    if isinstance(error, OperatorError):
        return error
    if isinstance(error, click.ClickException):
        return InputError(error.format_message(), next_step="install --help shows every verb and option")
    return _unexpected(error)


def _install(request: Request, *, as_json: bool) -> None:
    from installer.install import install
    from installer.journal import FOLDER
    from installer.localnode import LocalNode
    from installer.report import next_lines, summary

    node, began = LocalNode(), time.monotonic()
    results = install(node, request, screen(as_json=as_json), FOLDER)
    say_end(as_json, summary(results), time.monotonic() - began)
    if not as_json:
        say("\n".join(["", *next_lines(node, request.role)]))


def _dry_run(request: Request, *, as_json: bool) -> None:
    from installer.install import dry_run

    dry_run(this_machine(), request, screen(as_json=as_json))
    if not as_json:
        say("nothing was changed")


def _request(
    *,
    role: str | None,
    config: Path | None,
    join: Path | None,
    address: str | None,
    data_disk: str | None,
    media: tuple[Path, ...],
    ignore: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
    **trust: Any,
) -> Request:
    from installer.check import Choice
    from installer.install import Request
    from installer.medium import media_folders

    if role is None:
        raise InputError(
            "which role is this machine to have?",
            where="--role",
            wanted="cp (a control plane) or worker",
            got="none",
            next_step="sudo ./install --role cp",
        )
    folder, *further = media_folders(media, os.environ.get(MEDIA_VARIABLE))
    checks, runtime = Choice(only, ignore), os.environ.get(RUNTIME_VARIABLE)
    kib = os.environ.get(RUNTIME_KIB_VARIABLE, "")
    runtime_bytes = int(kib) * 1024 if kib.isdecimal() else 0
    given = (config, join, address, runtime, data_disk, checks, runtime_bytes, tuple(further), demand_of(trust))
    return Request(role, folder, *given)


def _unexpected(error: Exception) -> OperatorError:
    """A mistake of this program: said calmly, with the details in a file for whoever mends it."""
    lines = (f"airgap-bundle {__version__}", *trace_without_values(error))
    again = "running the same command again is safe"
    try:  # under a name that nobody can foresee, for root alone
        handle, path = tempfile.mkstemp(prefix="airgap-bundle-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write("\n".join(lines) + "\n")
        where, next_step = path, f"send that file to whoever maintains it; {again}"
    except OSError:
        where, next_step = "; ".join(line.strip() for line in lines[-3:]), f"tell whoever maintains it; {again}"
    what = told_without_values(error)
    return OperatorError("this program made a mistake", got=what, where=where, next_step=next_step)


if __name__ == "__main__":
    main()
