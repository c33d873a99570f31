"""The ``bundle`` command: options in, calls of the other modules, text out. Groups of verbs have modules of their own.

Heavy modules are imported where they are used, so that ``bundle --help`` starts as fast as the interpreter.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bundler.catalogverbs import catalog_verbs
from bundler.deltaverbs import delta, demand_base, write_delta
from bundler.errors import InputError
from bundler.explainverbs import EXPLAIN_VERBS
from bundler.keyverbs import chosen_key, key_verbs, sign, sign_options
from bundler.partverbs import PARITY, PART_VERBS, bars, split_lines
from bundler.registryverbs import pull, push
from bundler.storeverbs import store_verbs
from bundler.terminal import guarded, path_type, progress_shown, say, say_lines
from installer.bundle.sums import MOST_SIGNATURES

if TYPE_CHECKING:
    from bundler.cutting import Medium

UMASK = 0o022
"""Whatever the caller's: nothing in a store or a media set is secret, and nobody else may write there."""
_DECIDED_BY_A_LOCK = ("arch", "cni", "addon", "values", "layers")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "BUNDLE"})
@click.version_option(package_name="airgap-bundle")
def main() -> None:
    """Build and check Kubernetes bundles for machines that can reach nothing.

    \b
      bundle build --k8s 1.30          make a media set in dist/
      bundle verify dist/k8s-…         prove every byte of one
    Carry its folder to the node, then:  sudo ./install --role cp

    Every option can also be set in the environment: BUNDLE_BUILD_MIRROR=aliyun
    is --mirror aliyun of `bundle build`.
    """
    os.umask(UMASK)


def _request_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what to build and from where, shared by ``build`` and ``lock``."""
    options = [
        click.option("--k8s", metavar="VERSION", help="Kubernetes: 1.30 (its newest patch) or 1.30.14."),
        click.option("--arch", default="amd64", show_default=True, help="amd64, arm64, or amd64,arm64 for both."),
        click.option("--cni", metavar="NAME[@VERSION]",
                     help="The pod network to carry (`bundle catalog list` names them); none leaves it out.  "
                          "[default: cilium, or that of your --addon-file]"),
        click.option("--addon", multiple=True, metavar="NAME[@VERSION]",
                     help="An add-on to carry, with what it needs. May be repeated."),
        click.option("--addon-file", multiple=True, type=path_type(), metavar="FILE",
                     help="An add-on of your own to carry: a document as in the catalogue. May be repeated."),
        click.option("--values", type=path_type(), metavar="FILE",
                     help="Your cluster.yaml: the images that its values of add-ons switch on are carried, too."),
        click.option("--layers", type=click.Choice(["registry", "dense"]), default="registry", show_default=True,
                     help="Layers as the registry serves them, or their plain tars compressed together: a quarter "
                          "to a third smaller, and slower to build."),
        click.option("--runtime", default="catalogue", show_default=True, metavar="KIND",
                     help="The installer's own Python: catalogue, host (this interpreter) or an archive's path."),
        click.option("--mirror", default="upstream", show_default=True, metavar="NAME|FILE",
                     help="Where bytes come from: upstream, aliyun, daocloud, or a profile's file."),
        click.option("--catalog", multiple=True, type=path_type(), metavar="DIR",
                     help="A catalogue of your own, laid over the built-in one. May be repeated."),
        click.option("--ca-file", type=path_type(), help="Certificates to trust instead of the built-in ones, in PEM."),
        click.option("--store", type=path_type(), help="Where fetched bytes are kept.  [default: your cache folder]"),
        click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 64),
                     help="How much is done at once. The result does not depend on it."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@_request_options
@click.option("--lock", type=path_type(), help="Rebuild exactly this lock instead of resolving a version.")
@click.option(
    "--out", default="dist", show_default=True, type=path_type(), help="The folder to write the media set in."
)
@click.option("--base", type=path_type(), metavar="OLD|INVENTORY",
              help="Make the delta, too: against this media set, or for the site of this inventory.")  # fmt: skip
@click.option("--split", metavar="MEDIUM",
              help="Also write it in parts for dvd, bd, fat32, or media of a size: 8G, 700M.")  # fmt: skip
@PARITY
@sign_options
@click.option("--plan", is_flag=True, help="Only say what would be fetched and written, and about how long it takes.")
@click.option("--json", "as_json", is_flag=True, help="The plan as one JSON object; goes with --plan.")
@guarded
def build(
    *,
    lock: Path | None,
    out: Path,
    base: Path | None,
    split: str | None,
    parity: str | None,
    sign_key: Path | None,
    unsigned: bool,
    plan: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Resolve, fetch and pack one media set.

    One that is there already is proven and kept; `bundle verify` reads every byte of it.
    """
    from bundler import build as builder
    from bundler.report import built_lines, plan_document, plan_lines
    from bundler.room import rooms

    request = builder.Request(**options)
    medium, percent = _splitting(split, parity)
    if (lock is None) == (request.k8s is None):
        raise InputError(
            "say what to build",
            where="bundle build",
            wanted="either --k8s VERSION or --lock FILE",
            got="both" if lock else "neither",
        )
    if as_json and not plan:
        raise InputError("--json is for a plan", where="bundle build", wanted="--plan --json", got="--json alone")
    if lock:
        _demand_nothing_decided(click.get_current_context())
    if base:
        demand_base(base, out)
    key = None if plan else chosen_key(sign_key, unsigned=unsigned, where="bundle build")
    progress = progress_shown()
    work = builder.Builder(request, progress)
    resolved = builder.read_lock(lock) if lock else work.resolve(fetch_programs=not plan)
    if base:
        demand_base(base, out, resolved.platforms)
    if lock:
        work.note_use(lock)
    if plan:
        fetching = work.plan(resolved)
        phases, date = work.forecast(resolved, fetching), work.catalog.date
        there = rooms(work.needs(resolved, fetching, out))
        if as_json:
            say(json.dumps(plan_document(resolved, fetching, phases, there)))
        else:
            output, mirror = out / resolved.name, request.mirror
            say_lines(plan_lines(resolved, fetching, phases, date=date, mirror=mirror, output=output, rooms=there))
        return
    files, images, pause = len(resolved.files), len(resolved.images), resolved.pause.reference.tag
    addons = "".join(f", {addon.name} {addon.version}" for addon in resolved.addons)
    progress.say(f"resolve   {files} files, {images} images, pause {pause}{addons}")
    built = work.build(resolved, out, key)
    say_lines(built_lines(built))
    if base:
        write_delta(base, built.media_set.folder, out, request.jobs, key)
    if medium is not None:
        from bundler.split import split_media_set

        with bars("split") as begin:
            folder = built.media_set.folder
            made = split_media_set(folder, out, medium, percent, key=key, progress=begin, option="--out")
        say_lines(["", *split_lines(made)])


def _splitting(split: str | None, parity: str | None) -> tuple[Medium | None, int]:
    """What ``--split`` and ``--parity`` say; :class:`InputError` for parity without parts."""
    from bundler.cutting import parse_medium, parse_parity

    if split is None and parity is not None:
        raise InputError(
            "parity is for a set in parts",
            where="bundle build --parity",
            wanted="--split with it",
            got="--parity alone",
            next_step="for one large medium:  --split fat32 --parity 10%",
        )
    return (parse_medium(split) if split is not None else None), parse_parity(parity)


def _demand_nothing_decided(context: click.Context) -> None:
    """:class:`InputError` for options that would say what to build, beside a lock that has said it."""
    given = [
        f"--{name}" for name in _DECIDED_BY_A_LOCK if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if given:
        raise InputError(
            "a lock has decided that already",
            where="bundle build --lock",
            wanted="no option that says what to build",
            got=", ".join(given),
            next_step="leave it out, or resolve anew:  bundle build --k8s VERSION",
        )


@main.command("lock")
@_request_options
@click.option("--out", type=path_type(), help="The file to write.  [default: <name>.lock.json]")
@guarded
def lock_only(out: Path | None, **options: Any) -> None:
    """Resolve a version and write only its lock."""
    from bundler import build as builder

    request = builder.Request(**options)
    if request.k8s is None:
        raise InputError("say what to lock", where="bundle lock", wanted="--k8s VERSION", got="nothing")
    work = builder.Builder(request, progress_shown())
    resolved = work.resolve()
    path = out or Path(f"{resolved.name}.lock.json")
    work.note_use(path)
    builder.write_lock(resolved, path)
    say(f"locked    {path}   {len(resolved.files)} files, {len(resolved.images)} images")


@main.command()
@click.argument("path", type=path_type())
@click.option(
    "--media", type=path_type(), multiple=True, metavar="DIR", help="A further disc of a split set. May be repeated."
)
@click.option("--jobs", default=os.cpu_count() or 2, show_default=True, type=click.IntRange(1, 64),
              help="How many members are read at once.")  # fmt: skip
@click.option(
    "--signer",
    "signers",
    multiple=True,
    metavar="FILE|FINGERPRINT",
    help="Who must have signed: a public key, a list of allowed signers, or SHA256:…. May be repeated.",
)
@click.option(
    "--signatures",
    default=1,
    show_default=True,
    type=click.IntRange(1, MOST_SIGNATURES),
    metavar="N",
    help="How many of them, each by a key of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@guarded
def verify(
    *, path: Path, media: tuple[Path, ...], jobs: int, signers: tuple[str, ...], signatures: int, as_json: bool
) -> None:
    """Prove every byte of a media set (its folder, or the tarball alone), and say who signed it."""
    from bundler.build import verify_media_set
    from bundler.report import verified_lines
    from bundler.signing import demand_signers
    from bundler.signreport import signers_document
    from installer.bundle.words import spoken

    signed = demand_signers(path, signers, signatures)
    index, verified, seconds = verify_media_set(path, jobs, progress_shown(), media)
    if as_json:
        words = spoken(bytes.fromhex(verified.identity.hex))
        document = {"name": index.name, **asdict(verified), "words": words, "signers": signers_document(signed)}
        say(json.dumps(document))
    else:
        say_lines(verified_lines(index, verified, seconds, signed))


@main.command()
@click.argument("path", type=path_type())
@click.option("--media", type=path_type(), multiple=True, metavar="DIR",
              help="A further disc of a split set. May be repeated.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The whole index, and the identity, as JSON.")
@guarded
def inspect(path: Path, media: tuple[Path, ...], as_json: bool) -> None:
    """Show what a media set holds and where each part came from."""
    from bundler.report import inspect_lines
    from installer.bundle.reader import open_media_set

    with open_media_set(path, media) as bundle:
        if as_json:
            document = {"identity": str(bundle.identity), "index": bundle.index.to_dict()}
            say(json.dumps(document, indent=2, sort_keys=True))
        else:
            say_lines(inspect_lines(bundle.index, bundle.identity))


for _verb in (delta, push, pull, sign, *PART_VERBS, *EXPLAIN_VERBS, store_verbs, catalog_verbs, key_verbs):
    main.add_command(_verb)


if __name__ == "__main__":
    main()
