"""Where an artifact is: ``oci://registry.plant.example/site/k8s:v1.30.14``, as ``bundle push`` and ``pull`` take it."""

from __future__ import annotations

from dataclasses import dataclass

from bundler.errors import FormatError, InputError
from installer.bundle.digest import Digest
from installer.bundle.reference import Reference
from installer.bundle.siteregistry import SiteRegistry

SCHEME = "oci://"


@dataclass(frozen=True)
class ArtifactAddress:
    """A registry, a repository there, and a ``tag``, a ``digest`` or both; then the digest decides."""

    site: SiteRegistry
    repository: str
    tag: str | None
    digest: Digest | None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{SCHEME}{self.site.host}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """What to ask the registry for: the digest, else the tag."""
        return self.digest or self.tag or ""

    @classmethod
    def parse(cls, text: str, *, plain_http: bool, has_ca: bool) -> ArtifactAddress:
        """The address in ``text``; :class:`InputError` for anything else, a tag that is left out included."""
        host, slash, rest = text.removeprefix(SCHEME).partition("/")
        path, at, digest = rest.partition("@")
        repository, colon, tag = path.partition(":")
        try:
            if not text.startswith(SCHEME) or not slash or (colon and not tag) or (at and not digest):
                raise FormatError("not an address")
            reference = Reference(host, repository, tag or None, Digest(digest) if at else None)
        except FormatError:
            raise InputError(
                "not the address of an artifact",
                where=text[:300],
                wanted="oci://REGISTRY[:PORT]/REPOSITORY:TAG, in lower case up to the tag",
                got="no tag" if text.startswith(SCHEME) and slash and not colon and not at else "another form",
                next_step="for one:  oci://registry.plant.example/site/k8s:v1.30.14",
            ) from None
        site = SiteRegistry.parse(host, plain_http=plain_http, has_ca=has_ca, where=text)
        return cls(site, reference.repository, reference.tag, reference.digest)


def parse_prefix(text: str, *, plain_http: bool, has_ca: bool) -> SiteRegistry:
    """The registry and prefix in ``oci://REGISTRY[/PREFIX]``."""
    if not text.startswith(SCHEME):
        raise InputError(
            "not the address of a registry",
            where=text[:300],
            wanted="oci://REGISTRY[:PORT][/PREFIX]",
            got="another form",
        )
    return SiteRegistry.parse(text.removeprefix(SCHEME), plain_http=plain_http, has_ca=has_ca, where=text)
