"""A containerd that the site owns, of every generation: its settings, files, images and containers survive."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from installer.errors import CommandError, StepError
from installer.foundcontainerd import FoundContainerd
from installer.render.containerd import CONFIG_PATH, RuntimeSettings, schema_of
from installer.render.sitecontainerd import InForce
from installer.steps.images import ImportImages
from installer.steps.imagestore import ImageStore
from installer.steps.runtime import effective_config
from installer.steps.sandbox import SandboxAgreement
from installer.steps.siteruntime import KEPT_SUFFIX, SiteConfig, SiteContainerd
from tests.fakes.small_bundle import PAUSE, PLATFORM, small_bundle
from tests.integration.containerd_generations import OLDEST, Generation, every_generation
from tests.integration.containerd_lab import ContainerdLab, LabNode, carry_out
from tests.lab.images import ImageConfig, image, layer
from tests.lab.profiles.mini import STAND_INS
from tests.lab.profiles.pieces import pause
from tests.lab.toolchain import built

DROP_IN_FOLDER = "/etc/containerd/conf.d"
DROP_IN = f"{DROP_IN_FOLDER}/99-airgap-bundle.toml"
SITES_IMAGE = "registry.plant.example/site:1"


@dataclass
class Site:
    """A containerd of the site's that runs with ``config``, and the machine it is on."""

    lab: ContainerdLab
    node: LabNode
    found: FoundContainerd
    settings: RuntimeSettings

    def start(self, config: str, drop_ins: dict[str, str] | None = None) -> None:
        """Writes the site's files and starts its daemon."""
        for path, text in ({CONFIG_PATH: config} | (drop_ins or {})).items():
            self.node.write_file(path, text.encode())
        assert self.lab.restart().ok, self.lab.log

    @property
    def step(self) -> SiteConfig:
        """What makes it fit for Kubernetes."""
        return SiteConfig(self.found, self.settings, has_registries=True)

    @property
    def head(self) -> str:
        """The settings that keep a test's daemon in its own folders."""
        where = self.lab.folder
        return f'root = "{where}/root"\nstate = "{where}/state"\n[grpc]\n  address = "{self.lab.socket}"  # not moved\n'

    def in_force(self) -> InForce:
        """What the daemon's own dump says."""
        return InForce(effective_config(self.node, self.found.config_dump))

    def text(self, path: str = CONFIG_PATH) -> str:
        """A file of the site's as it is now."""
        return self.node.read_text(path) or ""


@pytest.fixture
def site(lab: ContainerdLab, containerd: Generation) -> Iterator[Site]:
    lab.folder.joinpath("node").mkdir()
    program = "/usr/local/bin/containerd"  # the lab's node has its generation there
    settings = RuntimeSettings(PAUSE, root=f"{lab.folder}/root", socket=lab.socket)
    found = FoundContainerd(program, containerd.version, root=settings.root, socket=lab.socket)
    yield Site(lab, LabNode(lab, built(STAND_INS)), found, settings)
    stop_container([*lab.ctr[:-1], "site"])


def demand_wanted(site: Site) -> None:
    """All that Kubernetes needs is in force, and a second look finds nothing to do."""
    found = site.in_force()
    assert found.sandbox == PAUSE
    assert found.runtime["options"]["SystemdCgroup"] is True
    assert found.runtime["runtime_type"] == "io.containerd.runc.v2"
    assert found.cni["bin_dir"] == "/opt/cni/bin" or "/opt/cni/bin" in found.cni["bin_dirs"]
    assert "/etc/containerd/certs.d" in found.registry["config_path"].split(":")
    assert not [name for name in found.document["disabled_plugins"] if "cri" in name]
    assert site.step.check(site.node).satisfied


@every_generation
def test_docker_s_file_which_disables_the_cri_is_made_fit_by_a_few_lines(site: Site, containerd: Generation) -> None:
    """From the first look to the sandbox image in four places; a container of the site's own keeps running."""
    site.start(f'# as its package ships it\ndisabled_plugins = ["cri"]\n\n#debug = true\n{site.head}')
    ctr = [*site.lab.ctr[:-1], "site"]
    run_container(ctr, site.lab.folder)
    before = running(ctr)
    assert "RUNNING" in before

    bundle = small_bundle()
    store = ImageStore(site.lab.socket, containerd.version)
    pause_image = next(found for found in bundle.index.images if str(found.reference) == PAUSE)
    agreement = SandboxAgreement("1.30.14", pause_image, store, site.found.config_dump)
    planned = site.step.check(site.node).changes
    steps = (
        SiteContainerd(site.found),
        ImportImages(bundle, bundle.index.images_for("cp"), PLATFORM, store),
        site.step,
        agreement,
    )
    done = carry_out(site.node, *steps)
    assert [result.outcome for result in done] == ["as wanted", "changed", "changed", "proven"]
    demand_wanted(site)
    assert site.text(CONFIG_PATH + KEPT_SUFFIX).splitlines()[1] == 'disabled_plugins = ["cri"]'
    assert_planned(planned, site.text(CONFIG_PATH + KEPT_SUFFIX), site.text())
    assert running(ctr) == before
    assert (
        SITES_IMAGE in subprocess.run([*ctr, "images", "ls", "-q"], capture_output=True, text=True, check=True).stdout
    )
    site.node.ran.clear()
    assert {result.outcome for result in carry_out(site.node, *steps)} == {"as wanted", "proven"}
    assert site.node.ran == []


@every_generation
def test_the_site_s_own_settings_and_comments_survive(site: Site) -> None:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    mine = f"""\
version = 2
{site.head}
[plugins]
  [{cri}]
    # from our own registry
    sandbox_image = "registry.plant.example/pause:3.6"   # ask Ops
    max_container_log_line_size = 7777
    [{cri}.cni]
      bin_dir = "/usr/lib/cni"
    [{cri}.registry]
      config_path = "/etc/plant/certs.d"
    [{cri}.containerd.runtimes.plant]
      runtime_type = "io.containerd.runc.v2"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{cri}.containerd.runtimes.runc.options]
        BinaryName = "/usr/sbin/runc"
"""
    site.start(mine)
    planned = site.step.check(site.node).changes
    carry_out(site.node, site.step)
    demand_wanted(site)
    text = site.text()
    assert_planned(planned, mine, text)
    removed = [line for line in mine.splitlines() if line not in text.splitlines()]
    assert [line.split()[0] for line in removed] == ["sandbox_image", "bin_dir", "config_path"]
    assert f'    sandbox_image = "{PAUSE}"   # ask Ops\n' in text
    found = site.in_force()
    assert found.registry["config_path"] == "/etc/containerd/certs.d:/etc/plant/certs.d"
    assert found.runtime["options"]["BinaryName"] == "/usr/sbin/runc"
    assert "7777" in json.dumps(dict(found.document))
    assert "plant" in json.dumps(dict(found.document["plugins"]))


@every_generation
def test_no_file_at_all_gets_one(site: Site) -> None:
    """Not started: without a file a daemon would use the machine's own folders."""
    site.node.make_dir("/etc/containerd")
    (edit,) = site.step._needed(_Without(site)).edits
    assert tomllib.loads(edit.new)["version"] == (2 if site.found.version.startswith("1.") else 3)
    site.start(edit.new.replace("\n", f"\n{site.head}", 1))


class _Without(LabNode):
    """The machine, whose containerd shows its built-in defaults."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.lab)
        self.site = site

    def query(self, argv, *, timeout_seconds=60.0):  # type: ignore[no-untyped-def]
        return super().query(["/usr/local/bin/containerd", "config", "default"] if "dump" in argv else argv)


@every_generation
def test_files_that_the_main_one_imports_are_respected(site: Site, containerd: Generation) -> None:
    """1.x: the last file that names the plugin wins with its whole table. 2.x: a file of our own is enough."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    imports = "conf.d/50-site.toml" if schema_of(containerd.version) == 2 else "conf.d/*.toml"
    main = f'version = 2\nimports = ["{imports}"]\n{site.head}'
    sites = f'version = 2\n[{cri}]\n  sandbox_image = "registry.plant.example/pause:3.6"\n'
    site.start(main, {f"{DROP_IN_FOLDER}/50-site.toml": sites})
    planned = site.step.check(site.node).changes
    carry_out(site.node, site.step)
    demand_wanted(site)
    assert site.text() == main
    if schema_of(containerd.version) == 2:
        assert_planned(planned, sites, site.text(f"{DROP_IN_FOLDER}/50-site.toml"))
        assert site.node.list_dir(DROP_IN_FOLDER) == ("50-site.toml", f"50-site.toml{KEPT_SUFFIX}")
    else:
        assert_planned(planned, "", site.text(DROP_IN))
        assert site.text(f"{DROP_IN_FOLDER}/50-site.toml") == sites


@pytest.mark.parametrize("containerd", ["compiled", "sid"], indirect=True)
def test_a_file_of_a_newer_schema_is_edited_in_its_own_words(site: Site) -> None:
    runtime = "plugins.'io.containerd.cri.v1.runtime'"
    mine = f"""\
version = 3
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs"]
{site.head}
[{runtime}.cni]
  bin_dir = "/usr/lib/cni"
[plugins.'io.containerd.cri.v1.images']
  max_concurrent_downloads = 7
"""
    site.start(mine)
    planned = site.step.check(site.node).changes
    carry_out(site.node, site.step)
    demand_wanted(site)
    assert_planned(planned, mine, site.text())
    assert 'disabled_plugins = ["io.containerd.snapshotter.v1.btrfs"]' in site.text().splitlines()
    assert tomllib.loads(site.text())["plugins"]["io.containerd.cri.v1.images"]["max_concurrent_downloads"] == 7


def test_values_that_a_later_file_takes_back_are_not_left_behind(site: Site) -> None:
    """The last word is containerd's own dump: a file that only it finds is named, and nothing has changed."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    main = f'version = 2\nimports = ["a.toml"]\n{site.head}'
    later = f'version = 2\n[{cri}]\n  sandbox_image = "registry.plant.example/pause:3.6"\n'
    files = {"/etc/containerd/a.toml": 'version = 2\nimports = ["b.toml"]\n', "/etc/containerd/b.toml": later}
    site.start(main, files)
    with pytest.raises(StepError, match="does not take the values"):
        carry_out(site.node, site.step)
    assert {path: site.text(path) for path in (CONFIG_PATH, *files)} == {CONFIG_PATH: main} | files
    assert site.node.ran == []


@pytest.mark.parametrize("containerd", [OLDEST, "sid"], indirect=True)
def test_a_daemon_that_does_not_come_up_gets_its_old_file_back(site: Site) -> None:
    main = f"version = 2\n{site.head}"
    site.start(main)
    folder = site.lab.folder / "root"
    site.lab.stop()
    folder.rename(site.lab.folder / "elsewhere")
    folder.write_text("a file where its folder should be", encoding="utf-8")
    with pytest.raises(CommandError):
        carry_out(site.node, site.step)
    assert site.text() == main


def assert_planned(planned: tuple[str, ...], before: str, after: str) -> None:
    """The lines the plan shows are the lines that changed: no more, no less."""
    shown = [line for line in planned if re.match(r"[-+](?![-+]{2} )", line)]
    removed = [f"-{line}" for line in before.splitlines() if line not in after.splitlines()]
    added = [f"+{line}" for line in after.splitlines() if line not in before.splitlines()]
    assert set(removed) <= set(shown)
    assert set(added) <= set(shown)
    assert {line for line in shown if line[1:].strip()} <= {*removed, *added}
    assert planned[-1].startswith("restart containerd.service")


def run_container(ctr: list[str], folder: Path) -> None:
    """Starts a container of the site's own, in a namespace that is not the kubelet's."""
    parts = image({"amd64": [layer({"pause": pause()})]}, ImageConfig(("/pause",)))
    media_type, top = parts.manifests[parts.top]
    annotations = {"io.containerd.image.name": SITES_IMAGE}
    entry = {"mediaType": media_type, "digest": parts.top, "size": len(top), "annotations": annotations}
    members = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
    }
    blobs = parts.blobs | {digest: data for digest, (_, data) in parts.manifests.items()}
    members |= {f"blobs/sha256/{digest.partition(':')[2]}": data for digest, data in blobs.items()}
    with tarfile.open(folder / "site.tar", "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    for words in (["images", "import", str(folder / "site.tar")], ["run", "-d", SITES_IMAGE, "keep"]):
        subprocess.run([*ctr, *words], check=True, capture_output=True, timeout=120)


def running(ctr: list[str]) -> str:
    """The site's containers, with the process of each."""
    return subprocess.run([*ctr, "tasks", "ls"], check=True, capture_output=True, text=True, timeout=60).stdout


def stop_container(ctr: list[str]) -> None:
    """Ends the site's container and its shim."""
    for words in (["tasks", "rm", "-f", "keep"], ["containers", "rm", "keep"]):
        subprocess.run([*ctr, *words], check=False, capture_output=True, timeout=60)
