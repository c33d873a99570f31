"""A site's registry asked through the hosts.toml we write, by every generation of containerd."""

from __future__ import annotations

import subprocess
from pathlib import Path

from installer.registries import Registry, RegistryHost
from installer.render import containerd as render
from installer.steps.registries import RegistryHosts
from tests.integration.containerd_generations import Generation, every_generation
from tests.integration.containerd_lab import ContainerdLab, LabNode, carry_out
from tests.lab.images import ImageConfig, image, layer
from tests.lab.registry import push, running_registry


@every_generation
def test_an_image_comes_from_the_mirror(lab: ContainerdLab, containerd: Generation, tmp_path: Path) -> None:
    node = LabNode(lab)
    node.write_file(render.CONFIG_PATH, render.config(containerd.version, lab.settings(None)).encode())
    assert lab.restart().ok, lab.log
    with running_registry(tmp_path / "store", read_only=False) as address:
        push(address, "copies/app", "1", image({"amd64": [layer({"app": b"app"})]}, ImageConfig(("/app",))))
        for name, host in (
            ("registry.plant.example", RegistryHost(f"http://{address}/v2/copies", override_path=True)),
            ("registry.plant.example:5000", RegistryHost(f"http://{address}/v2/copies", override_path=True)),
        ):
            carry_out(node, RegistryHosts((Registry(name, (host,), host.url),)))
            hosts = f"{lab.folder}/node{render.REGISTRY_DIR}"
            pull = [*lab.ctr, "images", "pull", "--hosts-dir", hosts, f"{name}/app:1"]
            done = subprocess.run(pull, capture_output=True, text=True, check=False, timeout=120)
            assert done.returncode == 0, done.stderr
