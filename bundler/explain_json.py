"""What a bundle holds, and what differs between two, as JSON; ``docs/explain.schema.json`` describes it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bundler.changes import Changes
from bundler.explain import Item, Report

SCHEMA = 1


def report_document(report: Report, changes: Changes | None = None) -> dict[str, Any]:
    """The answer to ``bundle report --json``."""
    out: dict[str, Any] = {
        "schema": SCHEMA,
        "bundle": _bundle(report),
        "space": [asdict(share) for share in report.shares],
        "origins": [asdict(origin) for origin in report.origins],
        "items": [_item(item) for item in report.items],
        "settings": dict(report.settings),
    }
    return out | ({"changes": _changes(changes)} if changes else {})


def change_document(changes: Changes) -> dict[str, Any]:
    """The answer to ``bundle diff --json``."""
    return {"schema": SCHEMA, "changes": _changes(changes)}


def _bundle(report: Report) -> dict[str, Any]:
    contents = report.contents
    return {
        "kind": contents.kind,
        "name": contents.name,
        "identity": str(contents.identity),
        "kubernetes": contents.kubernetes,
        "platforms": list(contents.platforms),
        "created_seconds": contents.created_seconds,
        "pause": contents.pause.to_dict(),
        "blobs": len(contents.blobs),
        "size_bytes": report.size_bytes,
        "unpacked_bytes": report.unpacked_bytes,
        "tarball_bytes": contents.tarball_bytes,
    }


def _changes(changes: Changes) -> dict[str, Any]:
    return {
        "same": changes.same,
        "old": _bundle(changes.old),
        "new": _bundle(changes.new),
        "blobs": {"new": asdict(changes.fresh), "kept": asdict(changes.kept), "gone": asdict(changes.gone)},
        "unchanged": changes.unchanged,
        "installers_compared": changes.installers,
        "items": [
            {
                "change": change.word,
                "differs": list(change.differs),
                "new_bytes": change.new_bytes,
                "old": _item(change.old) if change.old else None,
                "new": _item(change.new) if change.new else None,
            }
            for change in changes.items
        ],
        "settings": [asdict(setting) for setting in changes.settings],
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "group": item.group,
        "name": item.name,
        "version": item.version,
        "platform": item.platform,
        "roles": list(item.roles),
        "digest": str(item.digest),
        "size_bytes": item.size_bytes,
        "alone_bytes": item.alone_bytes,
        "source": item.source.to_dict(),
        "license": item.license,
    }
