"""The machine a bundle is for, written as OCI does: ``linux/amd64``, ``linux/arm64``."""

from __future__ import annotations

from installer.bundle.errors import FormatError

ARCHITECTURES = ("amd64", "arm64")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Platform(str):
    """``linux/<architecture>`` for the architectures the catalogue knows; a variant is not part of it."""

    __slots__ = ()

    def __new__(cls, text: str) -> Platform:
        os_name, _, architecture = text.partition("/")
        if os_name != "linux" or architecture not in ARCHITECTURES:
            wanted = " or ".join(f"linux/{name}" for name in ARCHITECTURES)
            raise FormatError("unknown platform", wanted=wanted, got=text[:100])
        return super().__new__(cls, text)

    @property
    def architecture(self) -> str:
        """``amd64`` or ``arm64``."""
        return self.partition("/")[2]


def platform_of_machine(machine: str) -> Platform | None:
    """The platform for ``uname -m``, or ``None`` for a machine there is no bundle for."""
    architecture = _MACHINES.get(machine)
    return Platform(f"linux/{architecture}") if architecture else None
