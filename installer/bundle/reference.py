"""Image references in canonical form: ``registry/repository[:tag][@digest]``.

The grammar is that of the distribution project; short names are completed as every container client does
(``nginx`` is ``docker.io/library/nginx:latest``). containerd looks names up verbatim, so only the canonical
form is ever written to a bundle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, order=True)
class Reference:
    """One image name: ``registry`` (host and port), ``repository`` (path), and a ``tag``, a ``digest`` or both."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        problems = [
            name
            for name, form, value in (
                ("registry", _REGISTRY, self.registry),
                ("repository", _REPOSITORY, self.repository),
                ("tag", _TAG, self.tag),
            )
            if value is not None and not form.fullmatch(value)
        ]
        if problems or (self.tag is None and self.digest is None) or len(self.repository) > 255:
            raise FormatError(
                "not an image reference",
                wanted="registry/repository:tag or registry/repository@sha256:<64 hex digits>",
                got=f"{self.registry}/{self.repository}:{self.tag}"[:300],
            )

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def name(self) -> str:
        """``registry/repository``, without tag or digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def tagged(self) -> str | None:
        """``registry/repository:tag``: how the image store names it by tag."""
        return f"{self.name}:{self.tag}" if self.tag else None

    def pinned(self, digest: Digest) -> str:
        """``registry/repository@digest``: how the image store names it when a pod asks by digest."""
        return f"{self.name}@{digest}"

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The reference that ``text`` means, short names completed; raises :class:`FormatError`."""
        rest, at, digest = text.partition("@")
        head, slash, last = rest.rpartition("/")
        last, colon, tag = last.partition(":")
        path = f"{head}{slash}{last}"
        first, slash, remainder = path.partition("/")
        if not slash or not ("." in first or ":" in first or first == "localhost"):
            registry, repository = "docker.io", path
        else:
            registry, repository = first, remainder
        if registry in ("docker.io", "index.docker.io", "registry-1.docker.io"):
            registry = "docker.io"
            repository = repository if "/" in repository else f"library/{repository}"
        if (colon and not tag) or (at and not digest):
            raise FormatError("not an image reference", wanted="registry/repository:tag", got=text[:300])
        return cls(
            registry,
            repository,
            tag if colon else (None if at else "latest"),
            Digest(digest) if at else None,
        )
