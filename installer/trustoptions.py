"""The options that say whose media sets are taken, for every verb that reads a medium."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from installer.bundle.sums import MOST_SIGNATURES

if TYPE_CHECKING:
    from installer.trust import Demand

_Command = TypeVar("_Command", bound=Callable[..., Any])
NAMES = ("signers", "signatures", "accept_signers", "allow_unsigned")
"""What the options are called where they arrive."""


def trust_options(command: _Command) -> _Command:
    """Adds the options to a command; :func:`demand_of` makes one value of them."""
    for option in reversed(
        (
            click.option(
                "--signer", "signers", multiple=True, metavar="FILE|FINGERPRINT",
                help="Who must have signed the media set: a public key, a list of allowed signers, or SHA256:...",
            ),
            click.option(
                "--signatures", type=click.IntRange(1, MOST_SIGNATURES), metavar="N",
                help="How many of them must have signed, each with a key of its own.  [default: 1]",
            ),
            click.option(
                "--accept-signer", "accept_signers", multiple=True, metavar="FINGERPRINT",
                help="Take this signer instead of the one recorded here, and record it.",
            ),
            click.option("--allow-unsigned", is_flag=True, default=None, help="Take a media set that nobody signed."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def demand_of(options: dict[str, Any]) -> Demand:
    """Takes the options out of ``options``: what they say together."""
    from installer.trust import Demand

    signers, signatures, accepted, allow_unsigned = (options.pop(name) for name in NAMES)
    return Demand(tuple(signers), signatures or 1, tuple(accepted), bool(allow_unsigned))
