"""What can go wrong in the lab itself, told as the project tells every error."""

from __future__ import annotations

from installer.errors import OperatorError


class LabError(OperatorError):
    """The lab could not be set up: a program is missing, a build failed, a part cannot be fetched."""

    family = "lab"
