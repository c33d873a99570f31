"""YAML that people write, read as the builder reads it, and YAML that they may read."""

from __future__ import annotations

from typing import Any

import yaml

from installer.bundle.yamltext import load_yaml

__all__ = ["dump_yaml", "load_yaml"]


def dump_yaml(data: dict[str, Any]) -> str:
    """``data`` as YAML in the order of its keys."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1000)
