"""Mirror profiles: where to ask for a file or an image. They never change what the bytes must be, nor their names.

A profile is an ordered list of rules. Every rule whose ``prefix`` an address starts with gives its replacements, in
the order written; ``fallback: true`` adds the upstream itself as the last resort. Without it, an address that no rule
covers is refused, so that a closed laboratory never asks the outside. A profile file, and one entry of
``manifests/mirrors.yaml`` (there without ``schema`` and ``name``)::

    schema: 1
    name: lab
    fallback: false                # upstream itself last: default false
    allow_plain_http: false        # http:// beyond loopback: default false
    files:
      - prefix: https://dl.k8s.io/
        replace: [http://127.0.0.1:8000/dl.k8s.io/]
      - prefix: https://github.com/
        replace: [http://127.0.0.1:8000/github.com/]
    images:
      - prefix: registry.k8s.io/
        replace:
          - {base: "127.0.0.1:5000", plain_http: true}               # 127.0.0.1:5000/coredns/coredns
          - {base: mirror.example/google_containers, flat: true}     # mirror.example/google_containers/coredns
          - {base: site.example, api_path: /registry}                # https://site.example/registry/v2/coredns/coredns
      - prefix: ""                                                   # every image, under its full name
        replace: [{base: cache.example}]                             # cache.example/registry.k8s.io/pause

A prefix ends in ``/`` or is empty (images only). ``flat`` keeps the last part of the repository's path only, the
layout of the ``google_containers`` mirrors.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bundler.errors import FormatError, InputError
from bundler.yaml_document import open_document, read_document
from installer.bundle.reference import Reference
from installer.bundle.strict import Fields

SCHEMA = 1
_API_HOSTS = {"docker.io": "registry-1.docker.io"}
"""Registries whose API is served by another host than their name says."""
_API_PATH = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


@dataclass(frozen=True)
class FileRule:
    """URLs that start with ``prefix`` are also at each of ``replace``."""

    prefix: str
    replace: tuple[str, ...]


@dataclass(frozen=True)
class ImageBase:
    """A registry, with a path perhaps, that holds images under the rest of their name, or (``flat``) its last part.

    ``api_path`` is what its address has before ``/v2/``, where a site serves it behind another server.
    """

    base: str
    flat: bool = False
    plain_http: bool = False
    api_path: str = ""


@dataclass(frozen=True)
class ImageRule:
    """Images whose ``registry/repository`` starts with ``prefix`` are also at each of ``replace``."""

    prefix: str
    replace: tuple[ImageBase, ...]


@dataclass(frozen=True)
class ImageLocation:
    """Where to ask for an image: ``scheme`` (``https`` or ``http``), ``registry`` (API host and port), repository.

    ``api_path`` stands before ``/v2/``.
    """

    scheme: str
    registry: str
    repository: str
    api_path: str = ""


@dataclass(frozen=True)
class MirrorProfile:
    """Rules in order; ``fallback`` asks the upstream itself last."""

    name: str
    files: tuple[FileRule, ...] = ()
    images: tuple[ImageRule, ...] = ()
    fallback: bool = True


UPSTREAM = MirrorProfile("upstream")


def file_urls(profile: MirrorProfile, canonical_url: str) -> tuple[str, ...]:
    """The URLs to try for ``canonical_url``, in order; raises :class:`InputError` when the profile has none."""
    urls = [
        replacement + canonical_url.removeprefix(rule.prefix)
        for rule in profile.files
        if canonical_url.startswith(rule.prefix)
        for replacement in rule.replace
    ]
    return _in_order(profile, urls, canonical_url, canonical_url)


def image_locations(profile: MirrorProfile, reference: Reference) -> tuple[ImageLocation, ...]:
    """The places to try for ``reference``, in order; raises :class:`InputError` when the profile has none."""
    locations = [
        _location(base, reference.name.removeprefix(rule.prefix))
        for rule in profile.images
        if reference.name.startswith(rule.prefix)
        for base in rule.replace
    ]
    upstream = ImageLocation("https", _API_HOSTS.get(reference.registry, reference.registry), reference.repository)
    return _in_order(profile, locations, upstream, str(reference))


def _in_order(profile: MirrorProfile, places: list[Any], upstream: Any, wanted: str) -> tuple[Any, ...]:
    if profile.fallback:
        places = [*places, upstream]
    if not places:
        raise InputError(
            "the mirror profile does not say where this is",
            where=f"mirror profile {profile.name}",
            wanted=f"a rule for {wanted}",
            got="none, and no fallback to the upstream",
            next_step="add a rule to the profile, or fallback: true",
        )
    return tuple(dict.fromkeys(places))


def _location(base: ImageBase, rest: str) -> ImageLocation:
    registry, _, path = base.base.partition("/")
    name = rest.rpartition("/")[2] if base.flat else rest
    return ImageLocation(
        "http" if base.plain_http else "https",
        _API_HOSTS.get(registry, registry),
        f"{path}/{name}" if path else name,
        base.api_path,
    )


def load_profile(name_or_path: str, built_in: Path) -> MirrorProfile:
    """The profile called ``name_or_path`` in the file ``built_in``, else the one in the file of that path."""
    if not name_or_path.endswith((".yaml", ".yml")) and "/" not in name_or_path:
        profiles = read_profiles(read_document(built_in), where=str(built_in))
        if name_or_path in profiles:
            return profiles[name_or_path]
        raise InputError(
            "no such mirror profile",
            where=f"mirror {name_or_path}",
            wanted=f"one of {', '.join(profiles)}, or a profile's file (a path with '/' or ending in .yaml)",
            got=name_or_path,
        )
    path = Path(name_or_path)
    return read_profile(read_document(path), where=str(path))


def read_profiles(document: object, *, where: str) -> dict[str, MirrorProfile]:
    """The profiles of ``mirrors.yaml`` by name; raises :class:`InputError` naming every problem with its path."""
    fields = open_document(document, SCHEMA, where=where)
    profiles = fields.mapping("profiles")
    fields.finish()
    found = {name: _profile(name, profiles.mapping(name)) for name in profiles.keys()}  # noqa: SIM118
    fields.problems.check("the mirror profiles cannot be used", InputError, where=where)
    return found


def read_profile(document: object, *, where: str) -> MirrorProfile:
    """The profile of one file; raises :class:`InputError` naming every problem with its path."""
    fields = open_document(document, SCHEMA, where=where)
    profile = _profile(fields.text("name"), fields)
    fields.problems.check("the mirror profile cannot be used", InputError, where=where)
    return profile


def _profile(name: str, fields: Fields) -> MirrorProfile:
    plain = fields.boolean("allow_plain_http", False)
    profile = MirrorProfile(
        name,
        tuple(_file_rule(rule, plain) for rule in fields.mappings("files", optional=True)),
        tuple(_image_rule(rule, plain) for rule in fields.mappings("images", optional=True)),
        fields.boolean("fallback", False),
    )
    fields.finish()
    return profile


def _file_rule(fields: Fields, plain_allowed: bool) -> FileRule:
    rule = FileRule(fields.text("prefix"), tuple(fields.texts("replace")))
    fields.finish()
    for field, text in [("prefix", rule.prefix), *(("replace", text) for text in rule.replace)]:
        if what := _url_problem(text):
            fields.note(field, f"{what}, got {text!r}")
    for text in rule.replace:
        if text.startswith("http://") and not plain_allowed and not _is_loopback(_host(text)):
            fields.note("replace", f"plain http beyond loopback wants allow_plain_http: true, got {text!r}")
    return rule


def _image_rule(fields: Fields, plain_allowed: bool) -> ImageRule:
    prefix = fields.text("prefix", "")
    if prefix and not prefix.endswith("/"):
        fields.note("prefix", f"wanted a prefix that ends in '/', got {prefix!r}")
    rule = ImageRule(prefix, tuple(_image_bases(fields, plain_allowed)))
    fields.finish()
    return rule


def _image_bases(fields: Fields, plain_allowed: bool) -> Iterator[ImageBase]:
    for item in fields.mappings("replace"):
        base = ImageBase(
            item.text("base").rstrip("/"),
            item.boolean("flat", False),
            item.boolean("plain_http", False),
            item.text("api_path", ""),
        )
        item.finish()
        if not _API_PATH.fullmatch(base.api_path):
            item.note("api_path", f"wanted a path like /registry, got {base.api_path!r}")
        registry = base.base.partition("/")[0]
        try:
            Reference(registry, f"{base.base}/x".partition("/")[2], "any")
        except FormatError:
            item.note("base", f"wanted registry[:port][/path], got {base.base!r}")
        if base.plain_http and not plain_allowed and not _is_loopback(_host(f"http://{registry}/")):
            item.note("plain_http", f"beyond loopback this wants allow_plain_http: true, got {registry!r}")
        yield base


def _url_problem(text: str) -> str | None:
    if not text.startswith(("https://", "http://")) or not text.endswith("/") or "?" in text or "#" in text:
        return "wanted an http(s) URL that ends in '/'"
    if "@" in urlsplit(text).netloc:
        return "a URL in a profile must not hold credentials"
    return None


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
