"""The verb group ``images``: the bundle's images into a registry that the site has."""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from installer.terminal import say, say_end, screen
from installer.trustoptions import demand_of, trust_options

if TYPE_CHECKING:
    from installer.bundle.distribution import Exchange
    from installer.bundle.imagepush import PushedImage, PushedImages
    from installer.bundle.reader import Bundle
    from installer.bundle.siteregistry import SiteRegistry
    from installer.install import Report

# Everything else is imported by the verb that needs it, so that --help answers at once.


def images_group(media_variable: str) -> click.Group:
    """The group; ``media_variable`` names the environment variable that says where the medium is."""
    existing = click.Path(path_type=Path)

    @click.group("images")
    def images() -> None:
        """Bring the images into a registry of the site."""

    @images.command()
    @click.argument("registry", metavar="REGISTRY[/PREFIX]")
    @click.option("--credentials", type=existing, metavar="FILE", help="One line, user:password; mode 0600.")
    @click.option("--ca-file", type=existing, metavar="FILE", help="The CA of the registry's certificate, in PEM.")
    @click.option("--plain-http", is_flag=True, help="Without TLS (on loopback that is the default).")
    @click.option("--force", is_flag=True, help="Let tags that lead to other images there lead to these.")
    @click.option("--use", is_flag=True, help="Let this node ask that registry from now on.")
    @click.option(
        "--media",
        type=existing,
        multiple=True,
        metavar="DIR",
        help="The media set (found by itself); repeat it for each disc of a split one.",
    )
    @trust_options
    @click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
    def push(
        *,
        registry: str,
        credentials: Path | None,
        ca_file: Path | None,
        plain_http: bool,
        force: bool,
        use: bool,
        media: tuple[Path, ...],
        as_json: bool,
        **trusting: Any,
    ) -> None:
        """Push every image of the bundle to a registry of the site.

        Each keeps its name below the prefix, as in
        REGISTRY/PREFIX/registry.k8s.io/pause:3.9. What is there already is
        not sent again. At the end come the lines for cluster.yaml that let
        nodes pull from there; --use writes them on this node, too.
        """
        from installer import custody
        from installer.bundle.imagepush import demand_pushable
        from installer.bundle.siteregistry import SiteRegistry
        from installer.install import demand_root
        from installer.journal import FOLDER
        from installer.localnode import LocalNode
        from installer.medium import judge_medium, media_folders, open_bundle
        from installer.nodelock import node_lock
        from installer.registrydoor import RegistryDoor, read_credentials
        from installer.sitemirrors import demand_staying, mirrors_here, mirrors_of, mirrors_text, use_mirrors

        node, began, report = LocalNode(), time.monotonic(), screen(as_json=as_json)
        site = SiteRegistry.parse(registry, plain_http=plain_http, has_ca=ca_file is not None, where="images push")
        user = read_credentials(credentials) if credentials else None
        if use:
            demand_root(node)
        (folder, *further), demand = media_folders(media, os.environ.get(media_variable)), demand_of(trusting)
        with (
            node_lock(FOLDER, "images push") if use else nullcontext(),
            custody.refusal_noted(node) if use else nullcontext(),
            open_bundle(folder, node, trust := judge_medium(folder, node, demand), further) as bundle,
            RegistryDoor(site, user, ca_file) as door,
        ):
            demand_pushable(bundle)
            mirrors = mirrors_of(bundle.index.images, site, str(ca_file.resolve()) if ca_file else None)
            wanted = mirrors_here(node, mirrors) if use else None
            if use:
                demand_staying(ca_file, bundle)
            pushed = _push(bundle, door, site, report, force=force, as_json=as_json)
            if wanted is not None:
                with custody.noted(node, "images push", bundle.identity, registry, signers=trust.signers):
                    use_mirrors(node, wanted, report, FOLDER)
        _tell_end(pushed, mirrors_text(mirrors), time.monotonic() - began, as_json=as_json)

    return images


def _push(
    bundle: Bundle, door: Exchange, site: SiteRegistry, report: Report, *, force: bool, as_json: bool
) -> PushedImages:
    """Proves the images on the medium, then pushes them."""
    from installer.bundle.imagepush import ImagePush, image_bytes
    from installer.reading import read_without_spool
    from installer.terminal import byte_meter

    needed = {digest for image in bundle.index.images for digest in image.blobs()}
    read_without_spool(bundle, needed, report)
    total_bytes = sum(image_bytes(bundle.index, image) for image in bundle.index.images)
    advance, close = byte_meter("push", total_bytes, as_json=as_json)
    try:
        return ImagePush(bundle, door, site.prefix, advance).run(
            force=force, done=lambda image: _tell_image(image, as_json=as_json)
        )
    finally:
        close()


def _tell_image(image: PushedImage, *, as_json: bool) -> None:
    from installer.terminal import say_beside_bar

    if as_json:
        say(json.dumps({"event": "pushed", "name": image.name, "kept": image.kept}, sort_keys=True))
    else:
        say_beside_bar(f"{'pushed':<10} {image.name}{'' if image.kept == 'whole' else '  (these platforms only)'}")


def _tell_end(pushed: PushedImages, mirrors: str, seconds: float, *, as_json: bool) -> None:
    from installer.wording import count, folded, size

    parts = [image for image in pushed.images if image.kept == "part"]
    if as_json:
        fields = {"sent_bytes": pushed.sent_bytes, "present_bytes": pushed.present_bytes, "mirrors": mirrors}
        say(json.dumps({"event": "images", "images": len(pushed.images), "part": len(parts)} | fields, sort_keys=True))
    elif parts:
        text = (
            f"{count(len(parts), 'image')} of more platforms than the bundle carries: the registry refuses their "
            "indexes, so their tags lead to what is carried, and they cannot be pulled by the index's digest there"
        )
        say("\n".join(folded(f"{'note':<10} ", text)))
    what = f"{count(len(pushed.images), 'image')}, {size(pushed.sent_bytes)} sent, {size(pushed.present_bytes)} there"
    say_end(as_json, what, seconds)
    if not as_json:
        say(f"\nNodes pull from there with these lines in cluster.yaml:\n{mirrors.rstrip()}")
