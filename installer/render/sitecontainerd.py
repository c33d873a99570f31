"""What a containerd that the site owns must be told for Kubernetes, as the smallest edits of the site's own files.

Wanted are few values: the sandbox image, the systemd cgroup driver, where pod networks are, the CRI plugin not
disabled, and the folder of hosts.toml files if there are any. Each is compared with what is in force (``containerd
config dump``), and only one that differs is set, in the dialect of the file it is set in.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from installer.errors import InputError
from installer.render.containerd import REGISTRY_DIR, RuntimeSettings, major_minor, sandbox_of
from installer.render.tomltext import KeyPath, Value, assignment, parsed, with_values

DROP_IN_NAME = "99-airgap-bundle.toml"
_NEW_FILE = "# Written by airgap-bundle: what Kubernetes needs of this containerd.\n"
_CRI = "io.containerd.grpc.v1.cri"
_IMAGES, _RUNTIME = "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"
_CRI_NAMES = ("cri", _CRI, _IMAGES, _RUNTIME)
_MOST_DIFF_CONTEXT = 1


@dataclass(frozen=True)
class ConfigFile:
    """One file of the configuration, as it is; ``text`` is ``None`` where there is none."""

    path: str
    text: str | None


@dataclass(frozen=True)
class Edit:
    """A file and its new text."""

    file: ConfigFile
    new: str

    def diff(self) -> list[str]:
        """The difference as the lines of a unified diff."""
        old = (self.file.text or "").splitlines()
        before = self.file.path if self.file.text is not None else "/dev/null"
        lines = difflib.unified_diff(
            old, self.new.splitlines(), before, self.file.path, lineterm="", n=_MOST_DIFF_CONTEXT
        )
        return list(lines)


@dataclass(frozen=True)
class Needed:
    """What is still needed: the values that are not in force, as TOML, and the edits that put them there.

    A value without an edit is in the site's file already and yet not in force: something else takes it back.
    """

    lacking: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True)
class InForce:
    """What ``containerd config dump`` says is in force, in either dialect."""

    document: Mapping[str, Any]

    @property
    def sandbox(self) -> str | None:
        """The sandbox image."""
        return sandbox_of(dict(self.document))

    @property
    def root(self) -> str | None:
        """The folder of images and containers."""
        return _text(self.document.get("root"))

    @property
    def socket(self) -> str | None:
        """Where containerd listens; 2.3 has it in a plugin of its own."""
        server = self._plugin("io.containerd.server.v1.grpc")
        return _text(server.get("address")) or _text(_table(self.document.get("grpc")).get("address"))

    @property
    def snapshotter(self) -> str | None:
        """What images are unpacked for."""
        legacy = _table(self._plugin(_CRI).get("containerd"))
        return _text(self._plugin(_IMAGES).get("snapshotter")) or _text(legacy.get("snapshotter"))

    @property
    def runtime_name(self) -> str:
        """The name of the OCI runtime that pods get."""
        return _text(self._runtimes.get("default_runtime_name")) or "runc"

    @property
    def runtime(self) -> Mapping[str, Any]:
        """That runtime's table."""
        return _table(_table(self._runtimes.get("runtimes")).get(self.runtime_name))

    @property
    def cni(self) -> Mapping[str, Any]:
        """Where network plugins and their configuration are."""
        return _table(self._plugin(_RUNTIME).get("cni")) or _table(self._plugin(_CRI).get("cni"))

    @property
    def registry(self) -> Mapping[str, Any]:
        """Where hosts.toml files are, and the older ways to name mirrors."""
        return _table(self._plugin(_IMAGES).get("registry")) or _table(self._plugin(_CRI).get("registry"))

    @property
    def _runtimes(self) -> Mapping[str, Any]:
        return _table(self._plugin(_RUNTIME).get("containerd")) or _table(self._plugin(_CRI).get("containerd"))

    def _plugin(self, name: str) -> Mapping[str, Any]:
        return _table(_table(self.document.get("plugins")).get(name))


def needed(
    version: str, files: Sequence[ConfigFile], in_force: InForce, settings: RuntimeSettings, *, has_registries: bool
) -> Needed:
    """What to change in ``files`` (the main file first, then what it imports, in order) of containerd ``version``.

    :class:`InputError` for a configuration that only the site itself can change.
    """
    main, *imported = files
    schema = _schema(main, version)
    changed = {file.path: _with_cri(file) for file in files}
    values = _values(schema, in_force, settings, has_registries=has_registries)
    lacking = [assignment(path, value) for path, value in values.items()]
    lacking += [f"{name} not in disabled_plugins" for name in _disabled(in_force.document)]
    if values:
        target = _target(version, main, imported)
        text = changed.get(target)
        start = _NEW_FILE + f"version = {schema}\n" if text is None else text
        document = parsed(start, where=target)
        version_line: dict[KeyPath, Value] = {} if "version" in document else {("version",): schema}
        values = version_line | _with_runtime_type(schema, in_force, values, document)
        ordered = dict(sorted(values.items(), key=lambda item: item[0][:-1]))  # a table before those inside of it
        changed[target] = with_values(start, ordered, where=target)
    before = {file.path: file for file in files}
    edits = (Edit(before.get(path, ConfigFile(path, None)), text) for path, text in changed.items() if text is not None)
    return Needed(tuple(lacking), tuple(edit for edit in edits if edit.new != edit.file.text))


def _disabled(document: Mapping[str, Any]) -> list[str]:
    return [name for name in document.get("disabled_plugins", []) if name in _CRI_NAMES]


def _with_cri(file: ConfigFile) -> str | None:
    """The file's text without the CRI plugin among the disabled ones."""
    document = parsed(file.text or "", where=file.path)
    if file.text is None or not _disabled(document):
        return file.text
    kept: Value = [name for name in document["disabled_plugins"] if name not in _CRI_NAMES]
    return with_values(file.text, {("disabled_plugins",): kept}, where=file.path)


def imported_from(main: ConfigFile) -> list[tuple[str, str]]:
    """The folder and the name or pattern of each import of the main file; relative ones are beside it."""
    patterns = [str(pattern) for pattern in parsed(main.text or "", where=main.path).get("imports", [])]
    here = main.path.rpartition("/")[0]
    whole = (pattern if pattern.startswith("/") else f"{here}/{pattern}" for pattern in patterns)
    return [(folder, name) for folder, _, name in (path.rpartition("/") for path in whole)]


def _schema(main: ConfigFile, version: str) -> int:
    """The schema a new value is written in: the main file's own; 2, which every line reads, where it names none."""
    document = parsed(main.text or "", where=main.path)
    written = document.get("version")
    if isinstance(written, int) and written >= 2:
        return written
    disabled = [name for name in document.get("disabled_plugins", []) if name not in _CRI_NAMES]
    if "plugins" in document or disabled or document.get("required_plugins"):
        raise InputError(
            "the site's containerd configuration is of schema 1",
            where=main.path,
            wanted="version = 2 or newer, with plugins by their whole names",
            got="no version line" if written is None else f"version = {written}",
            next_step="rewrite it as version 2 (containerd config default shows the names), restart containerd, and"
            " run this again",
        )
    return 3 if main.text is None and major_minor(version) >= (2, 0) else 2


def _values(
    schema: int,
    in_force: InForce,
    settings: RuntimeSettings,
    *,
    has_registries: bool,
) -> dict[KeyPath, Value]:
    """The values that are not in force as wanted, at their place in ``schema``."""
    images: KeyPath = ("plugins", _CRI if schema == 2 else _IMAGES)
    runtime: KeyPath = ("plugins", _CRI if schema == 2 else _RUNTIME)
    values: dict[KeyPath, Value] = {}
    if settings.sandbox is not None and in_force.sandbox != settings.sandbox:
        name = ("sandbox_image",) if schema == 2 else ("pinned_images", "sandbox")
        values[(*images, *name)] = settings.sandbox
    if _table(in_force.runtime.get("options")).get("SystemdCgroup") is not True:
        values[(*runtime, "containerd", "runtimes", in_force.runtime_name, "options", "SystemdCgroup")] = True
    one = in_force.cni.get("bin_dir")  # excludes the list that newer ones have
    folders = [one] if one else list(in_force.cni.get("bin_dirs") or [])
    if settings.cni_bin_dir not in folders:
        several = schema > 2 and not one and bool(folders)
        wanted: Value = [settings.cni_bin_dir, *folders] if several else settings.cni_bin_dir
        values[(*runtime, "cni", "bin_dirs" if several else "bin_dir")] = wanted
    if in_force.cni.get("conf_dir") != settings.cni_conf_dir:
        values[(*runtime, "cni", "conf_dir")] = settings.cni_conf_dir
    found = str(in_force.registry.get("config_path") or "")
    if has_registries and REGISTRY_DIR not in found.split(":"):
        _demand_no_older_mirrors(in_force)
        values[(*images, "registry", "config_path")] = ":".join(filter(None, (REGISTRY_DIR, found)))
    return values


def _with_runtime_type(
    schema: int, in_force: InForce, values: dict[KeyPath, Value], document: Mapping[str, Any]
) -> dict[KeyPath, Value]:
    """``values``, with the runtime's type where the file has none: a runtime's table replaces the default one."""
    plugin = _CRI if schema == 2 else _RUNTIME
    runtime: KeyPath = ("plugins", plugin, "containerd", "runtimes", in_force.runtime_name)
    if not any(path[: len(runtime)] == runtime for path in values):
        return values
    found: Any = document
    for key in runtime:
        found = _table(found).get(key)
    if "runtime_type" in _table(found):
        return values
    kind = _text(in_force.runtime.get("runtime_type")) or "io.containerd.runc.v2"
    return {(*runtime, "runtime_type"): kind} | values


def _target(version: str, main: ConfigFile, imported: Sequence[ConfigFile]) -> str:
    """The file that new values go to.

    Up to 1.7 the last file that names the CRI plugin wins with its whole table. From 2.0 on tables are merged by key:
    there a file of our own is enough, where the main file imports the folder and says which schema it is.
    """
    if major_minor(version) < (2, 0):
        naming = [file for file in imported if _CRI in _table(parsed(file.text or "", where=file.path).get("plugins"))]
        return naming[-1].path if naming else main.path
    document = parsed(main.text or "", where=main.path)
    folders = [folder for folder, name in imported_from(main) if name == "*.toml"]
    return f"{folders[0]}/{DROP_IN_NAME}" if folders and document.get("version", 1) >= 2 else main.path


def _demand_no_older_mirrors(in_force: InForce) -> None:
    older = [key for key in ("mirrors", "configs", "auths") if in_force.registry.get(key)]
    if older:
        raise InputError(
            "the site's containerd names registries in the older way, which excludes hosts.toml files",
            where=", ".join(f"registry.{key}" for key in older),
            wanted=f"registry.config_path = {REGISTRY_DIR}",
            next_step="move them to hosts.toml files, or leave containerd.registries out of cluster.yaml",
        )


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
