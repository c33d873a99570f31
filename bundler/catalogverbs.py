"""The verbs of the catalogue: list, show, check."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bundler.errors import InputError
from bundler.terminal import guarded, path_type, say, say_lines

# Heavy modules are imported where they are used, so that ``bundle --help`` starts as fast as the interpreter.


@click.group("catalog")
def catalog_verbs() -> None:
    """Look at what can be built, and prove that it is complete."""


_catalogs = click.option("--catalog", multiple=True, type=path_type(), metavar="DIR",
                         help="A catalogue of your own, laid over the built-in one. May be repeated.")  # fmt: skip


@catalog_verbs.command("list")
@_catalogs
@click.option("--json", "as_json", is_flag=True, help="All versions as JSON.")
@guarded
def catalog_list(catalog: tuple[Path, ...], as_json: bool) -> None:
    """List the Kubernetes versions, the pod networks and the add-ons there are."""
    from bundler.catalog import Catalog
    from bundler.report import catalog_document, catalog_lines

    known = Catalog.load(catalog)
    if as_json:
        say(json.dumps(catalog_document(known), indent=2))
    else:
        say_lines(catalog_lines(known))


@catalog_verbs.command("show")
@click.argument("what", metavar="VERSION|NAME[@VERSION]")
@_catalogs
@guarded
def catalog_show(what: str, catalog: tuple[Path, ...]) -> None:
    """Show one Kubernetes VERSION, or the pod network or add-on NAME: what a build of it carries."""
    from bundler.addon_choice import shown_addon
    from bundler.catalog import Catalog
    from bundler.imagelist import kubernetes_images
    from bundler.report import addon_lines, release_lines

    known = Catalog.load(catalog)
    if (chosen := shown_addon(what, known)) is not None:
        say_lines(addon_lines(chosen))
        return
    release = known.release(what)
    references = [str(image.reference) for image in (*kubernetes_images(release), *known.endpoint_images())]
    say_lines(release_lines(release, known.minor(release.minor), references))


@catalog_verbs.command("check")
@_catalogs
@guarded
def catalog_check(catalog: tuple[Path, ...]) -> None:
    """Prove that catalogue and image lists agree and every entry is complete."""
    from bundler.catalog import Catalog
    from bundler.catalog_check import check

    findings = list(check(Catalog.load(catalog)))
    if findings:
        raise InputError(
            f"the catalogue has {len(findings)} problem{'' if len(findings) == 1 else 's'}",
            where="bundle catalog check",
            got="\n".join(str(finding) for finding in findings),
        )
    say("ok        every entry is complete, and the image lists agree with it")
