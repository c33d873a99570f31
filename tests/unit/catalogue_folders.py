"""Catalogue folders for tests: a small user's catalogue written into a temporary folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bundler.catalog import Catalog


def sums(character: str) -> dict[str, str]:
    """SHA-256 sums for both architectures, told apart by ``character``."""
    return {"amd64": character * 64, "arm64": character * 63 + "0"}


def write_folder(folder: Path, documents: dict[str, Any]) -> Path:
    """``folder`` filled with ``documents``: YAML for mappings, text as it is."""
    for name, document in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return folder


def overlaid(folder: Path, documents: dict[str, Any]) -> Catalog:
    """The built-in catalogue with a folder of ``documents`` over it."""
    return Catalog.load([write_folder(folder, documents)])


def minor_document(**fields: Any) -> dict[str, Any]:
    """A document for 1.30 with ``fields``."""
    return {"schema": 1, "minor": "1.30", **fields}
