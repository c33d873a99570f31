"""Catalogues on disk: which file says what. A folder of a user's has the built-in one's layout, any part of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bundler.addon_types import FOLDERS
from bundler.catalog_types import BUILT_IN, Layer
from bundler.errors import InputError
from bundler.yaml_document import open_document, read_document

SCHEMA = 1
_MINOR_FILE = re.compile(r"v([0-9]+\.[0-9]+)\.yaml")
_COMPONENT_FILE = re.compile(r"([a-z0-9][a-z0-9-]*)\.yaml")
_LIST_FILE = re.compile(r"v([0-9]+\.[0-9]+\.[0-9]+)\.txt")
_ADDON_LIST_FILE = re.compile(r"([a-z0-9][a-z0-9-]*-v?[0-9]+\.[0-9]+\.[0-9]+[A-Za-z0-9.+-]*)\.txt")
_OVERLAY_PARTS = {
    *("catalogue.yaml", "kubernetes", "components", "endpoint.yaml", "licenses.yaml", "runtime.yaml"),
    "image-lists",
    *FOLDERS.values(),
}


@dataclass(frozen=True)
class Folder:
    """One catalogue on disk: its layer, and where its manifests and image lists are."""

    layer: Layer
    manifests: Path
    image_lists: Path

    def kubernetes(self) -> dict[str, Path]:
        """The documents of the Kubernetes minors, by minor."""
        return _named_files(self.manifests / "kubernetes", _MINOR_FILE)

    def components(self) -> dict[str, Path]:
        """The documents of the components, by name."""
        return _named_files(self.manifests / "components", _COMPONENT_FILE)

    def addons(self, kind: str) -> dict[str, Path]:
        """The documents of the add-ons of a kind, by name."""
        return _named_files(self.manifests / FOLDERS[kind], _COMPONENT_FILE)

    def lists(self) -> dict[str, Path]:
        """The image lists of Kubernetes releases, by version."""
        return _named_files(self.image_lists / "kubernetes", _LIST_FILE)

    def addon_lists(self, kind: str) -> dict[str, Path]:
        """The image lists of the add-ons of a kind, by name and version, as ``flannel-v0.28.9``."""
        return _named_files(self.image_lists / FOLDERS[kind], _ADDON_LIST_FILE)


@dataclass(frozen=True)
class AddonFile:
    """One add-on's document that an operator named (``--addon-file``), laid over every folder."""

    layer: Layer
    path: Path
    name: str
    kind: str | None


def _named_files(folder: Path, form: re.Pattern[str]) -> dict[str, Path]:
    """The files of ``folder`` by the name within their file name; raises :class:`InputError` for any other file.

    A file that nothing reads would be a version the user believes to have added.
    """
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if match := form.fullmatch(path.name):
            found[match[1]] = path
        elif not path.name.startswith((".", "README")):
            raise InputError(
                "the catalogue has a file that nothing reads",
                where=str(path),
                wanted=f"a name like {form.pattern}",
                got=path.name,
            )
    return found


def built_in_folder() -> Folder:
    """The built-in catalogue: of the checkout when the code runs from one, else of the installed wheel."""
    package = Path(__file__).resolve().parent
    for base in (package / "_data", package.parent):
        if (base / "manifests" / "catalogue.yaml").is_file():
            return Folder(BUILT_IN, base / "manifests", base / "image-lists")
    raise InputError("the built-in catalogue is missing", where=str(package), next_step="install the tool again")


def overlay_folder(path: Path) -> Folder:
    """A user's catalogue folder; raises :class:`InputError` for one that is not there, or with parts nothing reads."""
    if not path.is_dir():
        raise InputError("the catalogue folder is not there", where=f"--catalog {path}", wanted="a folder")
    entries = {entry.name for entry in path.iterdir() if not entry.name.startswith((".", "README"))}
    if not entries or entries - _OVERLAY_PARTS:
        raise InputError(
            "the catalogue folder has parts that nothing reads" if entries else "the catalogue folder is empty",
            where=f"--catalog {path}",
            wanted=f"only {', '.join(sorted(_OVERLAY_PARTS))}",
            got=", ".join(sorted(entries - _OVERLAY_PARTS)) or "nothing",
        )
    return Folder(Layer(_overlay_name(path), "user"), path, path / "image-lists")


def _overlay_name(path: Path) -> str:
    about = path / "catalogue.yaml"
    name: str = path.resolve().name
    if about.exists():
        fields = open_document(read_document(about), SCHEMA, where=str(about))
        name = fields.text("name", name)
        fields.finish()
        fields.problems.check("the catalogue cannot be used", InputError, where=str(about))
    return demand_own_name(name, about)


def demand_own_name(name: str, where: Path) -> str:
    """``name``; raises :class:`InputError` for the built-in catalogue's, as messages would tell the user's for it."""
    if name == BUILT_IN.name:
        raise InputError("this name is the built-in catalogue's", where=str(where), wanted="another name", got=name)
    return name


def addon_file(path: Path) -> AddonFile:
    """The add-on that a file is about; the rest of it is read when it is asked for."""
    document = read_document(path)
    fields = open_document(document, SCHEMA, where=str(path))
    name, kind = fields.text("name"), fields.choice("kind", tuple(FOLDERS), None)
    fields.problems.check("the catalogue cannot be used", InputError, where=str(path))
    return AddonFile(Layer(demand_own_name(path.name, path), "user"), path, name, kind)
