"""The smallest edits that make a site's containerd fit, by schema and by where the site's files are."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from installer.errors import InputError
from installer.render.containerd import RuntimeSettings
from installer.render.sitecontainerd import ConfigFile, InForce, Needed, needed

MAIN, SITES, OURS = "/etc/containerd/config.toml", "/etc/containerd/conf.d/50-site.toml", "99-airgap-bundle.toml"
PAUSE = "registry.k8s.io/pause:3.9"
SETTINGS = RuntimeSettings(PAUSE)
CRI = "io.containerd.grpc.v1.cri"
WANTED_2: dict[str, Any] = {
    CRI: {
        "sandbox_image": PAUSE,
        "cni": {"bin_dir": "/opt/cni/bin", "conf_dir": "/etc/cni/net.d"},
        "containerd": {
            "default_runtime_name": "plant",
            "runtimes": {"plant": {"runtime_type": "io.containerd.plant.v2", "options": {"SystemdCgroup": True}}},
        },
        "registry": {"config_path": "/a:/etc/containerd/certs.d"},
    }
}


def ask(version: str, files: dict[str, str | None], in_force: dict[str, Any], *, has_registries: bool = True) -> Needed:
    there = [ConfigFile(path, text) for path, text in files.items()]
    return needed(version, there, InForce(in_force), SETTINGS, has_registries=has_registries)


def test_nothing_is_needed_where_all_is_in_force() -> None:
    assert ask("1.7.24", {MAIN: "version = 2\n"}, {"plugins": WANTED_2}) == Needed()


def test_the_runtime_that_pods_get_is_told_and_keeps_its_type() -> None:
    force = {"plugins": {CRI: WANTED_2[CRI] | {"containerd": {"default_runtime_name": "plant", "runtimes": {}}}}}
    found = ask("1.7.24", {MAIN: "version = 2\n"}, force)
    (edit,) = found.edits
    runtime = tomllib.loads(edit.new)["plugins"][CRI]["containerd"]["runtimes"]["plant"]
    assert runtime == {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": True}}
    assert found.lacking == (f'plugins."{CRI}".containerd.runtimes.plant.options.SystemdCgroup = true',)


@pytest.mark.parametrize(("version", "schema"), [("1.6.20", 2), ("1.7.24", 2), ("2.0.11", 3), ("2.3.4", 3)])
def test_without_a_file_a_new_one_has_the_schema_that_the_line_reads(version: str, schema: int) -> None:
    (edit,) = ask(version, {MAIN: None}, {}).edits
    assert tomllib.loads(edit.new)["version"] == schema
    assert edit.diff()[:2] == ["--- /dev/null", f"+++ {MAIN}"]


def test_a_docker_file_without_a_version_gets_one_as_newer_lines_drop_schema_1() -> None:
    (edit,) = ask("2.1.9", {MAIN: '# docker\ndisabled_plugins = ["cri"]\n'}, {"disabled_plugins": [CRI]}).edits
    assert edit.new.startswith("# docker\ndisabled_plugins = []\nversion = 2\n")


def test_a_disabled_cri_alone_is_enough_to_be_needed() -> None:
    text = f'version = 2\ndisabled_plugins = ["{CRI}", "io.containerd.snapshotter.v1.zfs"]\n'
    found = ask("1.7.24", {MAIN: text}, {"plugins": WANTED_2, "disabled_plugins": [CRI]})
    assert found.edits[0].new == 'version = 2\ndisabled_plugins = ["io.containerd.snapshotter.v1.zfs"]\n'


@pytest.mark.parametrize("version", ["1.6.20", "1.7.24"])
def test_up_to_1_7_the_last_file_with_the_plugin_is_edited(version: str) -> None:
    main = 'version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n'
    files: dict[str, str | None] = {MAIN: main, SITES: f'version = 2\n[plugins."{CRI}"]\n  a = 1\n'}
    assert [edit.file.path for edit in ask(version, files, {}).edits] == [SITES]
    assert [edit.file.path for edit in ask(version, files | {SITES: "version = 2\n"}, {}).edits] == [MAIN]


def test_from_2_0_on_a_file_of_our_own_has_the_main_one_s_schema() -> None:
    for schema in (2, 3):
        main = f'version = {schema}\nimports = ["conf.d/*.toml"]\n'
        (edit,) = ask("2.1.9", {MAIN: main}, {}).edits
        assert edit.file.path == f"/etc/containerd/conf.d/{OURS}"
        assert tomllib.loads(edit.new)["version"] == schema


def test_network_plugins_are_added_to_a_list_and_replace_a_single_folder() -> None:
    images, runtime = "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"
    for cni, wanted in (
        ({"bin_dir": "", "bin_dirs": ["/a"]}, {"bin_dirs": ["/opt/cni/bin", "/a"]}),
        ({"bin_dir": "/a", "bin_dirs": ["/opt/cni/bin"]}, {"bin_dir": "/opt/cni/bin"}),
    ):
        force = {"plugins": {runtime: {"cni": cni | {"conf_dir": "/etc/cni/net.d"}}, images: {}}}
        (edit,) = ask("2.1.9", {MAIN: "version = 3\n"}, force).edits
        assert tomllib.loads(edit.new)["plugins"][runtime]["cni"] == wanted


def test_the_site_s_own_folder_of_hosts_files_stays_and_older_mirrors_exclude_ours() -> None:
    def force(registry: dict[str, Any]) -> dict[str, Any]:
        return {"plugins": {CRI: WANTED_2[CRI] | {"registry": registry}}}

    (edit,) = ask("1.7.24", {MAIN: "version = 2\n"}, force({"config_path": "/plant"})).edits
    assert tomllib.loads(edit.new)["plugins"][CRI]["registry"]["config_path"] == "/etc/containerd/certs.d:/plant"
    older = force({"config_path": "", "mirrors": {"docker.io": {}}})
    with pytest.raises(InputError, match="in the older way"):
        ask("1.7.24", {MAIN: "version = 2\n"}, older)
    assert ask("1.7.24", {MAIN: "version = 2\n"}, older, has_registries=False) == Needed()


def test_a_value_that_is_written_and_not_in_force_is_lacking_without_an_edit() -> None:
    written = ask("1.7.24", {MAIN: "version = 2\n"}, {}).edits[0].new
    found = ask("1.7.24", {MAIN: written}, {})
    assert (len(found.lacking), found.edits) == (5, ())
