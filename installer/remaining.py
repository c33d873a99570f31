"""What a plan's steps have left to do, and whether the disks have the room for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from installer.bundle.index import BundledImage
from installer.check import EVERY_CHECK, Choice
from installer.execute import PlannedStep
from installer.preflight import demand_fit
from installer.preflight.disk import room_left
from installer.preflight.subject import Subject
from installer.steps.files import PlaceFile
from installer.steps.images import ImportImages


def demand_room(subject: Subject, seen: Iterable[PlannedStep], choice: Choice = EVERY_CHECK) -> None:
    """Raises :class:`PreflightError` unless every file system has room for what the steps still have to do."""
    todo = [item for item in seen if not item.check.satisfied]
    files = [item.step.item for item in todo if isinstance(item.step, PlaceFile)]
    findings = room_left(subject, files, images_to_come(todo))
    demand_fit(choice.judged(findings), subject.node_name)


def images_to_come(todo: Iterable[PlannedStep]) -> list[BundledImage]:
    """The images that the steps in ``todo`` are going to import."""
    chosen: list[BundledImage] = []
    for item in todo:
        if isinstance(item.step, ImportImages):
            chosen += (image for image in item.step.images if f"import {image.reference}" in item.check.changes)
    return chosen
