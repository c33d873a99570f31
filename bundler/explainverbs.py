"""The verbs that explain a bundle: report, diff and sbom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bundler.errors import InputError
from bundler.terminal import guarded, path_type, progress_shown, say, say_lines

if TYPE_CHECKING:
    from bundler.explain import Report

# Heavy modules are imported where they are used, so that ``bundle --help`` starts as fast as the interpreter.

_html = click.option("--html", type=path_type(), metavar="FILE",
                     help="Write one page for a browser instead; it needs no network.")  # fmt: skip
_json = click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")


@click.command("report")
@click.argument("path", type=path_type(), metavar="SET")
@click.option("--against", type=path_type(), metavar="OLD", help="Show also what differs from this one.")
@_html
@_json
@guarded
def report_verb(path: Path, against: Path | None, html: Path | None, as_json: bool) -> None:
    """Show what a bundle holds, what takes the space and where it came from.

    SET and OLD are media sets (their folders), tarballs, locks or bundle.json
    files. Only the index is read: bundle verify proves the bytes.
    """
    from bundler.changes import compare
    from bundler.explain_json import report_document
    from bundler.explain_text import report_lines

    report = _report(path)
    changes = compare(_report(against), report) if against else None
    if html:
        _demand_one_form(as_json)
        from bundler.explain_page import page_text

        _write(html, page_text(report, changes).encode())
    elif as_json:
        say(json.dumps(report_document(report, changes)))
    else:
        say_lines(report_lines(report, changes))


@click.command("diff")
@click.argument("old", type=path_type())
@click.argument("new", type=path_type())
@_html
@_json
@guarded
def diff_verb(old: Path, new: Path, html: Path | None, as_json: bool) -> None:
    """Show what differs between two bundles: items, bytes and settings.

    OLD and NEW are media sets, tarballs, locks or bundle.json files. The exit
    code is 0 whether they differ or not; "same" in --json says which.
    """
    from bundler.changes import compare
    from bundler.explain_json import change_document
    from bundler.explain_text import change_lines

    changes = compare(_report(old), _report(new))
    if html:
        _demand_one_form(as_json)
        from bundler.explain_page import page_text

        _write(html, page_text(changes.new, changes).encode())
    elif as_json:
        say(json.dumps(change_document(changes)))
    else:
        say_lines(change_lines(changes))


@click.command("sbom")
@click.argument("path", type=path_type(), metavar="SET")
@click.option("--format", "form", type=click.Choice(["spdx", "cyclonedx"]), default="spdx", show_default=True,
              help="SPDX 2.3 or CycloneDX 1.6, both as JSON.")  # fmt: skip
@click.option("--out", type=path_type(), metavar="FILE", help="The file to write.  [default: print it]")
@guarded
def sbom_verb(path: Path, form: str, out: Path | None) -> None:
    """Give the bill of materials of a bundle: all that is in it, and licences.

    Every media set has both forms beside its tarball; they are given as they
    are. Of a tarball alone the bill is made from its index, which knows neither
    licences nor what is in the installer; a lock knows both.
    """
    from bundler.bill import bill_of

    bill = bill_of(path, form)
    if not bill.is_whole:
        progress_shown().say(
            "note      made from the index: without licences, and without what the installer is made of"
        )
    if out:
        _write(out, bill.content)
    else:
        say(bill.content.decode("ascii").removesuffix("\n"))


def _report(path: Path) -> Report:
    from bundler.contents import read_contents
    from bundler.explain import Report

    return Report.of(read_contents(path))


def _demand_one_form(as_json: bool) -> None:
    if as_json:
        raise InputError("--html and --json are two answers", where="--html --json", wanted="one of them", got="both")


def _write(path: Path, content: bytes) -> None:
    from bundler.records import write_whole
    from bundler.room import write_error

    try:
        write_whole(path, content)
    except OSError as error:
        next_step = "make room, or name another file"
        raise write_error("the file cannot be written", error, path, needed_bytes=len(content),
                          next_step=next_step) from None  # fmt: skip
    progress_shown().say(f"written   {path}")


EXPLAIN_VERBS = (report_verb, diff_verb, sbom_verb)
