"""The screen of the ``bundle`` command: the one place where lines are printed, bars begin and exit codes are given."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from bundler.errors import OperatorError
from installer.bundle.errors import trace_without_values

if TYPE_CHECKING:
    from bundler.progress import Progress

# Everything else is imported by the function that needs it, so that --help answers at once.

P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turns errors into messages and exit codes: 0 done, 1 failed, 2 input, 4 integrity, 5 network, 130 interrupted."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except OperatorError as error:
            _tell_error(error, as_json=bool(kwargs.get("as_json")))
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted; the same command goes on where this one stopped", err=True)
            sys.exit(130)
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output has gone; there is nobody to tell
            sys.exit(1)
        except OSError as error:
            _tell_error(OperatorError(error.strerror or str(error), where=str(error.filename or "")), as_json=False)
            sys.exit(1)
        except Exception as error:
            click.echo("\n".join(trace_without_values(error)), err=True)
            click.echo("error: this is a defect of this tool; please report the lines above", err=True)
            sys.exit(1)

    return run


def _tell_error(error: OperatorError, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(error.to_dict()))
    else:
        click.echo("\n".join(error.lines()), err=True)


def say(text: str) -> None:
    """Prints ``text`` and ends the line."""
    click.echo(text)


def say_lines(lines: Iterable[str]) -> None:
    """Prints each line."""
    for line in lines:
        click.echo(line)


def progress_shown() -> Progress:
    """What long work reports to: bars on a terminal, lines in a log."""
    from bundler.progress import Progress

    return Progress(sys.stderr)


def path_type(**kwargs: Any) -> click.Path:
    """An option or argument that is a path."""
    return click.Path(path_type=Path, **kwargs)
