"""What a node is: a control plane or a worker."""

from __future__ import annotations

from installer.bundle.strict import Fields

ROLES = ("cp", "worker")


def read_roles(fields: Fields) -> tuple[str, ...]:
    """The ``roles`` field: a non-empty list out of ``cp`` and ``worker``, in that order."""
    roles = fields.texts("roles")
    if not roles or not set(roles) <= set(ROLES):
        fields.note("roles", f"wanted one or both of {', '.join(ROLES)}, got {roles!r}")
    return tuple(role for role in ROLES if role in roles)
