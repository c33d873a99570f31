"""The verbs that go through a registry: push and pull."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.terminal import guarded, path_type, progress_shown, say, say_lines

if TYPE_CHECKING:
    from bundler.progress import Progress
    from bundler.pulling import Pulled
    from bundler.transport import Connection, Pushed
    from installer.bundle.imagepush import PushedImages
    from installer.bundle.index import BundleIndex
    from installer.bundle.siteregistry import SiteRegistry
    from installer.bundle.verify import Verified

# Heavy modules are imported where they are used, so that ``bundle --help`` starts as fast as the interpreter.

_READ_TIMEOUT_SECONDS = 120.0
"""A registry reads a whole blob again before it answers to its end."""


def _registry_options(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--ca-file", type=path_type(), metavar="FILE",
                     help="Certificates to trust instead of the built-in ones, in PEM."),
        click.option("--plain-http", is_flag=True, help="Without TLS (on loopback that is the default)."),
        click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 64),
                     help="How many files travel at once."),
        click.option("--json", "as_json", is_flag=True, help="The result as one JSON object."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("address", metavar="oci://REGISTRY/REPOSITORY:TAG")
@click.argument("media_set", metavar="[SET]", type=path_type(), required=False)
@click.option("--images", is_flag=True, help="Push the images in it instead, below oci://REGISTRY[/PREFIX].")
@click.option("--force", is_flag=True, help="Let tags that lead to something else there lead to this.")
@_registry_options
@guarded
def push(
    *,
    address: str,
    media_set: Path | None,
    images: bool,
    force: bool,
    ca_file: Path | None,
    plain_http: bool,
    jobs: int,
    as_json: bool,
) -> None:
    """Push a media set to a registry, as an OCI artifact.

    SET is its folder; where dist/ holds only one, it may be left out. It is
    verified first. What the registry has already is not sent again. Signatures
    and SBOMs refer to it (`oras discover` shows them). Who may push is read from
    docker's config.json (DOCKER_CONFIG, docker login).

    \b
      bundle push oci://registry.plant.example/site/k8s:v1.30.14
      bundle push --images oci://registry.plant.example/k8s
    """
    folder = media_set or _only_set(Path("dist"))
    connection, began = _connection(ca_file, jobs), time.monotonic()
    if images:
        done, site = _push_images(address, folder, connection, ca_file, plain_http=plain_http, force=force)
        if as_json:
            say(json.dumps(_image_document(done)))
        else:
            say_lines(_image_lines(done, site, time.monotonic() - began))
        return
    from bundler.artifact_address import ArtifactAddress
    from bundler.transport import push_media_set

    target = ArtifactAddress.parse(address, plain_http=plain_http, has_ca=ca_file is not None)
    pushed = push_media_set(folder, target, connection, _verifying(jobs), force=force)
    if as_json:
        say(json.dumps(_pushed_document(pushed)))
    else:
        say_lines(_pushed_lines(pushed, time.monotonic() - began))


@click.command()
@click.argument("address", metavar="oci://REGISTRY/REPOSITORY:TAG[@DIGEST]")
@click.option("--out", default="dist", show_default=True, type=path_type(), metavar="DIR",
              help="The folder to write the media set in, under its own name.")  # fmt: skip
@_registry_options
@guarded
def pull(*, address: str, out: Path, ca_file: Path | None, plain_http: bool, jobs: int, as_json: bool) -> None:
    """Pull a media set from a registry, and prove every byte of it.

    With a digest, exactly that artifact. An interrupted pull goes on where it
    stopped. The folder gets its name when all of it is there and verified.
    """
    from bundler.artifact_address import ArtifactAddress
    from bundler.pulling import pull_media_set

    began = time.monotonic()
    source = ArtifactAddress.parse(address, plain_http=plain_http, has_ca=ca_file is not None)
    pulled = pull_media_set(source, out, _connection(ca_file, jobs), _verifying(jobs))
    if as_json:
        say(json.dumps(_pulled_document(pulled)))
    else:
        say_lines(_pulled_lines(pulled, time.monotonic() - began))


def _connection(ca_file: Path | None, jobs: int) -> Connection:
    from bundler.sources.auth import DockerConfig
    from bundler.sources.http import HttpClient, HttpSettings
    from bundler.transport import Connection

    settings = HttpSettings(ca_file=ca_file, read_timeout_seconds=_READ_TIMEOUT_SECONDS)
    return Connection(HttpClient(settings), DockerConfig.load(os.environ), progress_shown(), jobs)


def _verifying(jobs: int) -> Callable[[Path, Progress], tuple[BundleIndex, Verified]]:
    from bundler.build import verify_media_set

    def verify(folder: Path, progress: Progress) -> tuple[BundleIndex, Verified]:
        index, verified, _ = verify_media_set(folder, jobs, progress)
        return index, verified

    return verify


def _only_set(folder: Path) -> Path:
    """The media set in ``folder``, if there is exactly one."""
    from bundler.errors import InputError
    from installer.bundle.sums import SUMS_NAME

    found = sorted(path.parent for path in folder.glob(f"*/{SUMS_NAME}"))
    if len(found) != 1:
        raise InputError(
            "say which media set",
            where=f"{folder}/",
            wanted="exactly one media set there, or its folder behind the address",
            got=", ".join(path.name for path in found) or "none",
        )
    return found[0]


def _push_images(
    address: str, folder: Path, connection: Connection, ca_file: Path | None, *, plain_http: bool, force: bool
) -> tuple[PushedImages, SiteRegistry]:
    from bundler.artifact_address import parse_prefix
    from bundler.sources.exchange import RegistryExchange
    from installer.bundle.imagepush import ImagePush, demand_pushable, image_bytes
    from installer.bundle.reader import open_media_set
    from installer.bundle.verify import verify

    site = parse_prefix(address, plain_http=plain_http, has_ca=ca_file is not None)
    exchange, progress = RegistryExchange(connection.http, site, connection.config), connection.progress
    with open_media_set(folder) as bundle:
        demand_pushable(bundle)
        with progress.task("verify", bundle.size_bytes) as task:
            verify(bundle, jobs=connection.jobs, progress=task.advance)
        sizes = {image.reference: image_bytes(bundle.index, image) for image in bundle.index.images}
        with progress.task("push", sum(sizes.values())) as task:
            work = ImagePush(bundle, exchange, site.prefix, task.advance)
            return work.run(force=force, done=lambda image: task.item(image.name, sizes[image.reference])), site


def _pushed_lines(pushed: Pushed, seconds: float) -> Iterator[str]:
    from bundler.progress import format_bytes, format_seconds

    sent, there = format_bytes(pushed.sent_bytes), format_bytes(pushed.present_bytes)
    yield f"pushed    {len(pushed.files)} files, {sent} sent, {there} there already   {format_seconds(seconds)}"
    yield f"identity  {pushed.identity}"
    if pushed.attached:
        yield f"refers    {', '.join(pushed.attached)}"
    yield f"digest    {pushed.digest}"
    yield ""
    yield "Where it is wanted:"
    yield f"  bundle pull {pushed.address}"


def _pulled_lines(pulled: Pulled, seconds: float) -> Iterator[str]:
    from bundler.progress import format_bytes, format_seconds

    how = "was there, every byte was read" if pulled.was_there else format_bytes(pulled.size_bytes)
    yield f"pulled    {pulled.folder}   {how}   {format_seconds(seconds)}"
    yield f"identity  {pulled.identity}"
    yield f"signed    {', '.join(pulled.signatures) or 'no: the registry has no signature of it'}"
    yield f"digest    {pulled.digest}"
    yield ""
    yield "Carry the folder to the node, then:"
    yield "  sudo ./install --role cp"


def _image_lines(pushed: PushedImages, site: SiteRegistry, seconds: float) -> Iterator[str]:
    from bundler.progress import format_bytes, format_seconds

    sent, there = format_bytes(pushed.sent_bytes), format_bytes(pushed.present_bytes)
    yield f"pushed    {len(pushed.images)} images, {sent} sent, {there} there already   {format_seconds(seconds)}"
    if parts := [image for image in pushed.images if image.kept == "part"]:
        yield f"note      of {len(parts)} the registry refuses the index, which names more platforms than the"
        yield "          bundle carries: their tags lead to what is carried, and they cannot be"
        yield "          pulled by the index's digest there"
    yield ""
    yield "On a node, with its medium, this lets it pull from there:"
    yield f"  sudo ./install images push {site.host}{'/' if site.prefix else ''}{site.prefix} --use"


def _pushed_document(pushed: Pushed) -> dict[str, Any]:
    return {
        "address": str(pushed.address),
        "digest": str(pushed.digest),
        "identity": str(pushed.identity),
        "files": list(pushed.files),
        "attached": list(pushed.attached),
        "sent_bytes": pushed.sent_bytes,
        "present_bytes": pushed.present_bytes,
    }


def _pulled_document(pulled: Pulled) -> dict[str, Any]:
    return {
        "folder": str(pulled.folder),
        "digest": str(pulled.digest),
        "identity": str(pulled.identity),
        "signatures": list(pulled.signatures),
        "size_bytes": pulled.size_bytes,
        "was_there": pulled.was_there,
    }


def _image_document(pushed: PushedImages) -> dict[str, Any]:
    images = [{"reference": str(image.reference), "name": image.name, "kept": image.kept} for image in pushed.images]
    return {"images": images, "sent_bytes": pushed.sent_bytes, "present_bytes": pushed.present_bytes}
