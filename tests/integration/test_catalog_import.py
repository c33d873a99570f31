"""The command line imports the catalogue on every start: that must not load a YAML parser or the network's modules."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_catalogue_stays_light() -> None:
    code = (
        "import sys, bundler.catalog, bundler.catalog_check, bundler.mirrors, bundler.resolve\n"
        "bundler.catalog.Catalog.load().minors()\n"
        "print(sorted({'yaml', 'requests', 'oras', 'zstandard'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
