"""The verbs of signing: sign a media set, make and show the key."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bundler.errors import InputError
from bundler.terminal import guarded, path_type, say, say_lines

if TYPE_CHECKING:
    from bundler.signkey import SigningKey

# Heavy modules are imported where they are used, so that ``bundle --help`` starts as fast as the interpreter.

_Command = TypeVar("_Command", bound=Callable[..., Any])
_key_file = click.option(
    "--sign-key", type=path_type(), metavar="FILE", help="An Ed25519 key of OpenSSH's.  [default: the builder's own]"
)


def sign_options(command: _Command) -> _Command:
    """Adds what says whether and by which key a new media set is signed; :func:`chosen_key` reads it."""
    default = "[default: one of the builder's own, made by the first build]"
    for option in (
        click.option("--unsigned", is_flag=True, help="Do not sign. A node then wants --allow-unsigned."),
        click.option(
            "--sign-key",
            type=path_type(),
            metavar="FILE",
            help=f"Sign with this Ed25519 key of OpenSSH's.  {default}",
        ),
    ):
        command = option(command)
    return command


def chosen_key(named: Path | None, *, unsigned: bool, where: str) -> SigningKey | None:
    """The key to sign with, read or made before any work is done; ``None`` for ``--unsigned``."""
    from bundler.signkey import signing_key

    if not unsigned:
        return signing_key(named, os.environ)
    if named is not None:
        raise InputError("sign or not?", where=where, wanted="--sign-key or --unsigned", got="both")
    return None


@click.command("sign")
@click.argument("path", type=path_type())
@_key_file
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@guarded
def sign(path: Path, sign_key: Path | None, as_json: bool) -> None:
    """Add a signature to a media set, for sites that demand more than one.

    What is signed is SHA256SUMS: prove the media set with `bundle verify` first.
    """
    from bundler.signing import add_signature
    from bundler.signkey import signing_key
    from bundler.signreport import signer_lines, signers_document

    signed = add_signature(path, signing_key(sign_key, os.environ))
    if as_json:
        say(json.dumps({"signers": signers_document(signed)}))
    else:
        say_lines(signer_lines(signed))


@click.group("key")
def key_verbs() -> None:
    """Make and show the key that media sets are signed with."""


@key_verbs.command("make")
@guarded
def key_make() -> None:
    """Make the builder's own key, if there is none yet; the first build does it, too."""
    from bundler.signkey import default_key_path, made_key
    from bundler.signreport import key_lines

    say_lines(key_lines(made_key(default_key_path(os.environ))))


@key_verbs.command("show")
@_key_file
@click.option("--allowed-signers", is_flag=True, help="Only the line for a list of allowed signers.")
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
@guarded
def key_show(sign_key: Path | None, allowed_signers: bool, as_json: bool) -> None:
    """Show a key's fingerprint, its words, and its line for a list of allowed signers."""
    from bundler.signkey import default_key_path, read_key
    from bundler.signreport import key_document, key_lines

    key = read_key(sign_key or default_key_path(os.environ))
    if as_json:
        say(json.dumps(key_document(key)))
    else:
        say_lines([key.signer.line] if allowed_signers else key_lines(key))
