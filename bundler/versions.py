"""Versions and version ranges as the catalogue writes them: semantic versions, no leading ``v``.

Charts are the exception: their versions are written as upstream writes them, with or without a ``v``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import semver

from bundler.errors import InputError


def parse_version(text: str) -> semver.Version:
    """The semantic version ``text``, for ordering; raises :class:`InputError`."""
    try:
        return semver.Version.parse(text)
    except ValueError:
        raise InputError("not a semantic version", wanted="a version like 1.30.14", got=text[:100]) from None


def newest_first(versions: Iterable[str]) -> list[str]:
    """``versions`` from the newest to the oldest."""
    return sorted(versions, key=parse_version, reverse=True)


def without_v(version: str) -> str:
    """A chart's version for comparing: ``v0.28.9`` and ``0.28.9`` are the same one."""
    return version.removeprefix("v")


def newest_charts_first(versions: Iterable[str]) -> list[str]:
    """Versions of charts from the newest to the oldest."""
    return sorted(versions, key=lambda version: parse_version(without_v(version)), reverse=True)


_OF_A_MINOR = re.compile(r"(>=|<=|>|<|==)(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


@dataclass(frozen=True)
class VersionRange:
    """``>=1.7.24 <1.8.0 || >=2.0.1 <2.2.0``: alternatives of comparisons that must all hold; ``text`` as written.

    A comparison with a minor means all of its patches: ``<=1.31`` holds for 1.31.5.
    """

    text: str
    alternatives: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """The range ``text`` means; raises :class:`InputError`."""
        written = (part.split() for part in text.split("||"))
        alternatives = tuple(tuple(full for word in part for full in _with_patches(word)) for part in written)
        try:
            for comparison in (comparison for part in alternatives for comparison in part):
                semver.Version(0).match(comparison)
        except ValueError:
            alternatives = ()
        if not all(alternatives) or not alternatives:
            raise InputError("not a version range", wanted="a range like '>=1.7.24 <1.8.0 || >=2.0.1'", got=text[:100])
        return cls(text, alternatives)

    def __contains__(self, version: object) -> bool:
        parsed = parse_version(str(version))
        return any(all(parsed.match(comparison) for comparison in part) for part in self.alternatives)

    def __str__(self) -> str:
        return self.text


def _with_patches(comparison: str) -> tuple[str, ...]:
    """The comparisons of whole versions that one with a minor means; any other one as it is."""
    found = _OF_A_MINOR.fullmatch(comparison)
    if not found:
        return (comparison,)
    first, after = f"{found[2]}.{found[3]}.0", f"{found[2]}.{int(found[3]) + 1}.0"
    meant = {">=": (f">={first}",), "<": (f"<{first}",), "<=": (f"<{after}",), ">": (f">={after}",)}
    return meant.get(found[1], (f">={first}", f"<{after}"))
