"""The screen: the one place where lines are printed, a question is asked and a progress bar is drawn."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from installer.errors import InputError, OperatorError

if TYPE_CHECKING:
    from installer.install import Report
    from installer.localnode import LocalView
    from installer.report import Meter

# Everything else is imported by the function that needs it, so that --help answers at once.


def say(text: str) -> None:
    """Prints ``text`` and ends the line."""
    click.echo(text)


def say_end(as_json: bool, what: str, seconds: float) -> None:
    """The last word of a run that went well."""
    from installer.wording import duration, folded

    if as_json:
        say(json.dumps({"event": "done", "detail": what, "seconds": round(seconds, 3)}, sort_keys=True))
    else:
        *lines, last = folded(f"{'done':<10} ", what)
        say("\n".join([*lines, f"{last}   {duration(seconds)}"]))


def say_error(error: OperatorError, *, as_json: bool) -> None:
    """What went wrong: to stderr, or as the last event."""
    if as_json:
        say(json.dumps({"event": "error", "exit_code": error.exit_code} | error.to_dict(), sort_keys=True))
    else:
        click.echo("\n".join(error.lines()), err=True)


def demand_yes(question: str, verb: str) -> None:
    """Asks on a terminal; :class:`InputError` where there is nobody to ask, :class:`click.Abort` for a no."""
    if not sys.stdin.isatty():
        raise InputError(
            f"{verb} takes things away and was not confirmed", where=verb, wanted="--yes", got="nobody to ask"
        )
    if not click.confirm(question, default=False):
        raise click.Abort


def this_machine() -> LocalView:
    """The machine this runs on, for looking."""
    from installer.localnode import LocalView

    return LocalView()


def screen(*, as_json: bool) -> Report:
    """Where a run's findings go: text with bars and open lines on a terminal, plain lines in a log, or JSON."""
    from installer.report import JsonReport, TextReport

    if as_json:
        return JsonReport(say)
    terminal = sys.stdout.isatty()
    clear = "\r\033[K" if terminal else ""
    return TextReport(
        lambda line: say(clear + line),
        meter=_meter if terminal else _no_meter,
        open_line=(lambda line: click.echo(clear + line[: _columns() - 1], nl=False))
        if terminal
        else lambda _line: None,
    )


def byte_meter(what: str, total_bytes: int, *, as_json: bool) -> Meter:
    """A bar for ``total_bytes`` of work called ``what``; nothing where there is no terminal, or JSON is wanted."""
    return _meter(total_bytes, what) if sys.stdout.isatty() and not as_json else _no_meter(total_bytes)


def say_beside_bar(text: str) -> None:
    """Prints a line while a bar may be shown, which is drawn again below it."""
    say(f"\r\033[K{text}" if sys.stdout.isatty() else text)


def _meter(total_bytes: int, what: str = "verify") -> Meter:
    """A progress bar for reading the medium, or what else takes its time; it vanishes at the end."""
    from tqdm import tqdm

    bar = tqdm(total=total_bytes, unit="B", unit_scale=True, desc=what, leave=False, dynamic_ncols=True)

    def advance(read_bytes: int) -> None:
        bar.update(read_bytes)

    return advance, bar.close


@contextmanager
def bars(label: str, *, as_json: bool) -> Iterator[Callable[[int], Callable[[int], object]]]:
    """Bars on a terminal for long work with bytes: what is given is told how many there are, and then each number."""
    from contextlib import ExitStack

    with ExitStack() as opened:

        def begin(total_bytes: int) -> Callable[[int], object]:
            if as_json or not sys.stderr.isatty():
                return lambda _size_bytes: None
            from tqdm import tqdm

            bar = tqdm(total=total_bytes, unit="B", unit_scale=True, desc=label, leave=False, dynamic_ncols=True)
            return opened.enter_context(bar).update

        yield begin


def _no_meter(_total_bytes: int) -> Meter:
    return lambda _read_bytes: None, lambda: None


def _columns() -> int:
    try:
        return os.get_terminal_size().columns
    except OSError:
        return 80
