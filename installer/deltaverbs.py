"""The verbs of transport: ``rebuild`` makes a delta whole, ``inventory`` says to the builder what this site has."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from installer.terminal import say, say_end
from installer.trustoptions import demand_of, trust_options

# Everything else is imported by the verb that needs it, so that --help answers at once.

_MEDIA_VARIABLE = "AIRGAP_MEDIA"


@click.command()
@click.option(
    "--base",
    "bases",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where old blobs are: the old media set, its tarball, or a containerd's root. May be repeated.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where the new one goes.")
@click.option(
    "--media",
    type=click.Path(path_type=Path),
    envvar=_MEDIA_VARIABLE,
    metavar="DIR",
    help="The delta (found by itself).",
)
@trust_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def rebuild(*, bases: tuple[Path, ...], out: Path, media: Path | None, as_json: bool, **trusting: Any) -> None:
    """Make the whole media set of this delta and what the site has.

    \b
    ./install rebuild --base /media/old/k8s-v1.30.13-linux-amd64 --out /srv

    The result is the builder's, byte for byte, signatures included; it gets
    its name when all of it is proven. Nothing else of this machine changes.
    """
    from installer import custody
    from installer.bundle.basis import open_bases
    from installer.bundle.deltaset import is_delta, open_delta
    from installer.bundle.rebuild import demand_bases
    from installer.bundle.rebuild import rebuild as carry_out
    from installer.localnode import LocalNode
    from installer.trust import judge
    from installer.wording import size

    began, node, folder = time.monotonic(), LocalNode(), media or Path.cwd()
    if is_delta(folder):
        judge(folder, node, demand_of(trusting))
    with open_delta(folder) as source, open_bases(bases) as opened:
        demand_bases(source, opened)
        delta = source.delta
        if not as_json:
            of = ", ".join(item.name for item in delta.bases) or "what a site listed"
            say(f"delta      {delta.bundle.name} from {of}")
            say(f"identity   {delta.bundle.identity}")
        made = carry_out(source, opened, out, jobs=os.cpu_count() or 2)
    custody.note_where_installed(node, "rebuild", str(delta.bundle.identity), "whole", str(made.folder))
    if as_json:
        found = {"folder": str(made.folder), "identity": str(delta.bundle.identity), "size_bytes": made.size_bytes}
        say(json.dumps({"event": "rebuilt", "was_there": made.was_there} | found, sort_keys=True))
    state = "was there already, every byte as it should be" if made.was_there else "byte for byte the builder's"
    say_end(as_json, f"{made.folder}, {size(made.size_bytes)}, {state}", time.monotonic() - began)


@click.command()
@click.option(
    "--media",
    "media",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A media set that the site has, or its tarball. May be repeated.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The file to write.  [default: what is printed]"
)
def inventory(*, media: tuple[Path, ...], out: Path | None) -> None:
    """Write down what this site has, for a builder to make a delta by.

    \b
    sudo ./install inventory --media /media/old/k8s-v1.30.13-linux-amd64 \\
      --out site.json

    Nothing is changed. As root it is signed with this machine's own SSH host
    key (FILE.sig), if it has one; blobs in containerd's store are listed, too.
    """
    import contextlib

    from installer.bundle.reader import open_media_set
    from installer.inventory import signature, take, words
    from installer.localnode import LocalNode
    from installer.wording import count

    node = LocalNode()
    with contextlib.ExitStack() as stack:
        opened = tuple(stack.enter_context(open_media_set(path)) for path in (*media, *_own_set()))
        found = take(node, opened)
    document = found.to_bytes()
    if out is None:
        say(document.decode("ascii").removesuffix("\n"))
        return
    signed = signature(node, document)
    _write(out, document)
    if signed is not None:
        _write(out.with_name(f"{out.name}.sig"), signed.encode("ascii"))
    say(f"inventory  {out}   {count(len(found.media), 'media set')}, {count(len(found.blobs), 'blob')}")
    if signed is None:
        say("signed     by nobody: no ssh-keygen, no host key, or not root")
    else:
        say(f"signed     {out}.sig, with this machine's SSH host key")
    say(f"compare    {words(document)}")
    say("           the builder's  sha256sum  of the file begins with the same digits")


def _own_set() -> tuple[Path, ...]:
    """The media set that this ``install`` stands in, if it is one."""
    from installer.bundle.deltaset import is_delta
    from installer.bundle.layout import INDEX_NAME

    folder = Path(os.environ.get(_MEDIA_VARIABLE, "/nonexistent"))
    return (folder,) if (folder / INDEX_NAME).is_file() and not is_delta(folder) else ()


def _write(path: Path, data: bytes) -> None:
    from installer.errors import InputError

    try:
        path.write_bytes(data)
    except OSError as error:
        raise InputError(
            "the inventory cannot be written",
            where=str(path),
            got=error.strerror or str(error),
            next_step="name another file with --out FILE",
        ) from None


VERBS: tuple[click.Command, ...] = (inventory, rebuild)
