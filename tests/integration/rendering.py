"""The real helm of the lab, rendering an add-on's chart with the values of the catalogue, filled with sample facts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from installer.bundle.values import SAMPLE, fill, merged
from tests.compiled import compiled


def real_helm() -> Path:
    """The compiled helm; skips the test where the lab has not compiled it."""
    return compiled("helm") / "helm"


def rendered(
    chart: Path,
    name: str,
    namespace: str,
    values: Mapping[str, Any],
    *,
    own: Mapping[str, Any] | None = None,
    facts: Mapping[str, str] | None = None,
    kubernetes: str = "1.30.14",
) -> str:
    """What helm makes of ``chart``, with the operator's ``own`` values over ``values``, ``facts`` over the sample's."""
    known = {**SAMPLE, "kubernetes": f"v{kubernetes}", **(facts or {})}
    filled = chart.with_name(f"{chart.name}.values.json")
    filled.write_text(json.dumps(fill(merged(values, own or {}), known)))
    argv = [str(real_helm()), "template", name, str(chart), "--namespace", namespace, "--values", str(filled)]
    argv += ["--kube-version", f"v{kubernetes}", "--include-crds", "--skip-tests"]
    environment = {"HOME": str(chart.parent), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
