"""The layers of docs/architecture.md hold: imports point one way, and only named modules have powers.

Each rule is checked on the sources themselves; a violation is shown as the chain of imports that leads to it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODE_PACKAGES = {"click", "yaml", "zstandard", "tqdm"}
# Who may import whom inside bundler: a module may import from ranks below its own, or its own rank.
LAYERS = (
    {"cli", "__main__"},
    {"catalogverbs", "deltaverbs", "explainverbs", "keyverbs", "partverbs", "registryverbs", "storeverbs"},
    {"terminal"},
    {"build", "report", "explain_page", "explain_text", "explain_json", "bill"},
    {"page_tables", "pulling", "split", "transport"},
    {"assemble", "cleaning", "delta", "fetch", "lookup"},
    {"kept", "payloads", "dense_layers", "sbom_cyclonedx", "sbom_spdx", "signing", "signreport"},
    {"signkey"},
    {"changes", "sbom"},
    {"explain"},
    {"contents"},
    {
        "resolve",
        "locks_in_use",
        "addon_choice",
        "addons",
        "sources",
        "store",
        "cutting",
        "measure",
        "launcher",
        "runtime",
        "host_python",
        "elf",
        "catalog_check",
    },
    {
        "artifact",
        "artifact_address",
        "catalog",
        "addon_read",
        "addon_types",
        "catalog_folders",
        "catalog_read",
        "catalog_types",
        "imagelist",
        "licenses",
        "installlook",
        "lockfile",
        "mirrors",
        "room",
        "charts",
        "deltapairs",
        "forecast",
        "site_values",
        "patching",
        "store_use",
        "versions",
    },
    {"markup", "progress", "records", "treemap", "yaml_document"},
    {"errors"},
)


def _modules(package: str) -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def _imports(path: Path, known: set[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield full if full in known else module


GRAPH_MODULES = _modules("bundler") | _modules("installer")
GRAPH = {name: sorted(set(_imports(path, set(GRAPH_MODULES)))) for name, path in GRAPH_MODULES.items()}


def _chains(start: str, forbidden: set[str], seen: tuple[str, ...] = ()) -> Iterator[str]:
    chain = (*seen, start)
    for target in GRAPH.get(start, ()):
        if any(target == name or target.startswith(f"{name}.") for name in forbidden):
            yield " -> ".join((*chain, target))
        elif target in GRAPH and target not in chain:
            yield from _chains(target, forbidden, chain)


def test_the_graph_is_there() -> None:
    assert len(GRAPH) > 20
    assert "installer.bundle.errors" in GRAPH["bundler.errors"]


@pytest.mark.parametrize("module", [name for name in GRAPH if name.startswith("installer")])
def test_the_installer_never_imports_the_builder(module: str) -> None:
    chain = next(_chains(module, {"bundler", "requests", "oras", "semver"}), None)
    assert chain is None, chain


@pytest.mark.parametrize("module", [name for name in GRAPH if name.startswith("bundler")])
def test_the_builder_imports_only_the_format_from_the_installer(module: str) -> None:
    others = [
        target
        for target in GRAPH[module]
        if target.startswith("installer") and not (target + ".").startswith("installer.bundle.")
    ]
    assert not others, f"{module} -> {others[0]}"


@pytest.mark.parametrize("module", [name for name in GRAPH if name.startswith("installer")])
def test_the_node_side_stays_small(module: str) -> None:
    foreign = {
        target.partition(".")[0]
        for target in GRAPH[module]
        if target.partition(".")[0] not in {"installer", *NODE_PACKAGES, *sys.stdlib_module_names}
    }
    assert not foreign, f"{module} -> {sorted(foreign)}"


def test_the_format_stands_on_nothing_of_ours() -> None:
    for module in (name for name in GRAPH if name.startswith("installer.bundle")):
        others = [
            target
            for target in GRAPH[module]
            if target.startswith(("installer", "bundler")) and not (target + ".").startswith("installer.bundle.")
        ]
        assert not others, f"{module} -> {others[0]}"


def test_one_door_to_other_programs() -> None:
    users = [name for name, targets in GRAPH.items() if name.startswith("installer") and "subprocess" in targets]
    assert users in ([], ["installer.localnode"]), users


NETWORK = {"socket", "ssl", "http.client", "urllib.request", "ftplib", "smtplib", "asyncio", "xmlrpc.client"}
DOORS = {
    "installer.registrydoor": {"installer.imagesverbs"},
    "installer.vip.arp": {"installer.vip.ask", "installer.vip.hold", "installer.vipverbs"},
    "installer.vip.question": {"installer.vip.ask", "installer.vip.hold", "installer.vipverbs"},
}
"""The modules that talk to another machine, and who may use each: the probe that two control planes are asked to make,
and the verb that fills a registry which the site has (docs/adr/0036). No step of an install can reach either."""


def test_three_doors_to_the_network() -> None:
    users = [name for name, targets in GRAPH.items() if name.startswith("installer") and NETWORK & set(targets)]
    assert users == sorted(DOORS)
    for module, allowed in DOORS.items():
        others = {name for name, targets in GRAPH.items() if module in targets and name.startswith("installer")}
        assert others <= allowed, others


def test_rendering_is_pure() -> None:
    powers = {"os", "subprocess", "socket", "shutil", "tempfile", "pathlib", "time", "random", "installer.localnode"}
    for module in (name for name in GRAPH if name.startswith("installer.render")):
        chain = next(_chains(module, powers - {"pathlib"}), None)
        assert chain is None or "installer.bundle" in chain, chain


@pytest.mark.parametrize("module", [name for name in GRAPH if name.count(".") >= 1 and name.startswith("bundler")])
def test_bundler_layers_point_down(module: str) -> None:
    rank = _rank(module)
    assert rank is not None, f"{module} has no layer; add it to LAYERS and to docs/architecture.md"
    for target in GRAPH[module]:
        if target.startswith("bundler."):
            other = _rank(target)
            assert other is not None, target
            assert other >= rank, f"{module} -> {target} points up"


def _rank(module: str) -> int | None:
    name = module.split(".")[1]
    return next((number for number, names in enumerate(LAYERS) if name in names), None)


@pytest.mark.parametrize("module", list(GRAPH))
def test_only_cli_prints_or_exits(module: str) -> None:
    """``terminal`` is the screen of each command: it prints, and only the builder's gives exit codes."""
    if module.endswith((".cli", "__main__")) or module == "bundler.terminal":
        return
    for node in ast.walk(ast.parse(GRAPH_MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "click.echo" and module == "installer.terminal":
                continue
            assert called not in {"print", "exit", "sys.exit", "os._exit", "click.echo"}, (
                f"{module}:{node.lineno} {called}"
            )
