"""hosts.toml of the site's registries: written, replaced with the old one kept, removed when no longer named."""

from __future__ import annotations

import tomllib

from installer.registries import Registry, RegistryHost
from installer.render import registry as render
from installer.steps.registries import RegistryHosts
from tests.fakes.node import FakeNode

PLANT = Registry("registry.plant.example:5000", (RegistryHost("https://mirror.plant.example"),))
OTHER = Registry("other.example", (RegistryHost("https://mirror.plant.example"),))
PATH = "/etc/containerd/certs.d/registry.plant.example:5000/hosts.toml"


def test_files_follow_the_configuration_and_the_site_s_own_are_kept() -> None:
    node = FakeNode().with_files({"/etc/containerd/certs.d/site.example/hosts.toml": "# the site's\n"})
    node.with_files({PATH: "# the site's, older\n"})
    both, one = RegistryHosts((OTHER, PLANT)), RegistryHosts((PLANT,))
    both.apply(node)
    assert both.check(node).satisfied
    assert node.read_text(PATH + ".before-airgap-bundle") == "# the site's, older\n"

    assert one.check(node).changes == ("remove /etc/containerd/certs.d/other.example/hosts.toml",)
    one.apply(node)
    assert one.check(node).detail == "1 registry"
    RegistryHosts(()).apply(node)
    assert RegistryHosts(()).check(node).satisfied
    assert [path for path in node.files() if path.endswith("hosts.toml")] == [
        "/etc/containerd/certs.d/site.example/hosts.toml"
    ]


def test_a_hosts_file_is_toml_and_verifies_unless_told_otherwise() -> None:
    text = render.hosts_file(Registry("r.example", (RegistryHost("https://a", ca="/a.pem"), RegistryHost("http://b"))))
    read = tomllib.loads(text)
    assert list(read) == ["host"], "containerd falls back to the registry itself"
    assert list(read["host"]) == ["https://a", "http://b"]
    assert read["host"]["https://a"] == {"capabilities": ["pull", "resolve"], "ca": "/a.pem"}
    assert "skip_verify" not in text
