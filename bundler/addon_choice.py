"""Which add-ons a build carries: those asked for and what they need, in the order of their installation; pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bundler.addon_types import NOUNS, Addon, AddonVersion, Need
from bundler.catalog import Catalog
from bundler.catalog_types import Release
from bundler.errors import FormatError, InputError
from bundler.versions import newest_charts_first, without_v

NO_NETWORK = "none"
DEFAULT_NETWORK = "cilium"
"""What ``--cni`` is when nobody says anything and no add-on brings a pod network."""


@dataclass(frozen=True)
class ChosenAddon:
    """An add-on and the version of it that a build takes."""

    addon: Addon
    version: AddonVersion

    def __str__(self) -> str:
        return f"{self.addon.name} {self.version.version}"

    @property
    def chart_name(self) -> str:
        """The chart's own name; one that is made of objects has the add-on's."""
        chart = self.version.chart or self.addon.chart
        return chart.name if chart else self.addon.name

    @property
    def needs(self) -> tuple[Need, ...]:
        """What must be there before it."""
        return self.addon.needs if self.version.needs is None else self.version.needs


@dataclass(frozen=True)
class _Ask:
    """That somebody wants an add-on: the option or the other add-on that says so."""

    need: Need
    where: str


def chosen_addons(
    cni: str | None, addons: Sequence[str], catalog: Catalog, release: Release
) -> tuple[ChosenAddon, ...]:
    """What ``--cni``, ``--addon NAME[@VERSION]`` and the catalogue's add-on files mean for ``release``.

    The pod network is first, and what an add-on needs stands before it. Raises :class:`InputError` naming what there
    is, or what does not go together.
    """
    asks = (*(_named(text, catalog) for text in addons), *_in_files(catalog))
    brought = _brought_networks(asks, catalog) if cni is None else ()
    walk = _walked((*(brought or _network(DEFAULT_NETWORK if cni is None else cni, catalog)), *asks), catalog)
    chosen = tuple(walk.chosen.values())
    _demand_one_network(cni, chosen, walk.wanted_by)
    for item in chosen:
        _demand_kubernetes(item, release, walk.wanted_by[item.addon.name])
    return chosen


def _brought_networks(asks: Sequence[_Ask], catalog: Catalog) -> tuple[_Ask, ...]:
    """The pod networks that ``asks`` bring: they stand for ``--cni``, and in its place, before all other add-ons."""
    walk = _walked(asks, catalog)
    names = (item.addon.name for item in walk.chosen.values() if item.addon.kind == "cni")
    return tuple(_Ask(Need(name), walk.wanted_by[name]) for name in names)


def _walked(asks: Sequence[_Ask], catalog: Catalog) -> _Walk:
    known: dict[str, _Ask] = {}
    while (walk := _Walk(catalog, dict(known)).through(asks)).versions != known:
        known = walk.versions  # a version that only a need names holds for those who asked before it, too
    return walk


def _network(asked: str, catalog: Catalog) -> Iterator[_Ask]:
    if asked == NO_NETWORK:
        return
    name = asked.partition("@")[0]
    if name not in catalog.addons("cni"):
        raise InputError(
            "there is no such pod network in the catalogue",
            where=f"--cni {asked}",
            wanted=f"one of {', '.join([NO_NETWORK, *catalog.offered('cni')])}",
            got=name,
            next_step="lay a folder with cni/NAME.yaml over the catalogue (--catalog DIR), or build with --cni none",
        )
    yield _Ask(_parsed(asked, f"--cni {asked}"), f"--cni {asked}")


def _named(text: str, catalog: Catalog) -> _Ask:
    ask = _Ask(_parsed(text, f"--addon {text}"), f"--addon {text}")
    if catalog.kind_of(ask.need.name) == "cni":
        raise InputError(
            "a pod network has an option of its own",
            where=ask.where,
            wanted="an add-on",
            got=f"the pod network {ask.need.name}",
            next_step=f"--cni {text}",
        )
    return ask


def _parsed(text: str, where: str) -> Need:
    try:
        return Need.parse(text)
    except FormatError as error:
        raise InputError(error.message, where=where, wanted=error.wanted, got=error.got) from None


def _in_files(catalog: Catalog) -> Iterator[_Ask]:
    """Whoever names a file wants what is in it."""
    return (_Ask(Need(file.name), f"--addon-file {file.path}") for file in catalog.addon_files)


@dataclass
class _Walk:
    """One way through everything that is asked for, needs first; ``versions`` are those that somebody insists on."""

    catalog: Catalog
    versions: dict[str, _Ask]
    chosen: dict[str, ChosenAddon] = field(default_factory=dict)
    wanted_by: dict[str, str] = field(default_factory=dict)

    def through(self, asks: Iterable[_Ask]) -> _Walk:
        """This walk, with everything in ``asks`` taken."""
        for ask in asks:
            self._take(ask, ())
        return self

    def _take(self, ask: _Ask, path: tuple[str, ...]) -> None:
        name = ask.need.name
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise InputError(
                "add-ons need each other", where=ask.where, wanted="one that can be installed first", got=circle
            )
        self._insist(ask)
        self.wanted_by.setdefault(name, ask.where)
        if name in self.chosen:
            return
        chosen = self._choose(name, ask.where)
        for need in chosen.needs:
            self._take(_Ask(need, f"{chosen}, needs"), (*path, name))
        self.chosen[name] = chosen

    def _insist(self, ask: _Ask) -> None:
        """Notes the version that ``ask`` insists on; raises :class:`InputError` if another one does on another."""
        if ask.need.version is None:
            return
        first = self.versions.setdefault(ask.need.name, ask)
        if without_v(first.need.version or "") != without_v(ask.need.version):
            raise InputError(
                f"two versions of {ask.need.name} are wanted",
                where=ask.where,
                wanted=str(ask.need),
                got=f"{first.need} ({first.where})",
                next_step="ask for versions that go together; bundle catalog show NAME tells what each needs",
            )

    def _choose(self, name: str, where: str) -> ChosenAddon:
        kind = self.catalog.kind_of(name)
        if kind is None:
            known = ", ".join(self.catalog.offered("addon"))
            raise InputError(
                "there is no such add-on in the catalogue",
                where=where,
                wanted=_listed(f"one of {known}") if known else "one of those there are: none",
                got=name,
                next_step="lay your own over the catalogue: --addon-file FILE, or --catalog DIR with addons/NAME.yaml",
            )
        addon = self.catalog.addon(kind, name, where=where)
        insisted = self.versions.get(name)
        if insisted is None:
            return ChosenAddon(addon, find_version(addon, addon.default, where=where))
        return ChosenAddon(addon, find_version(addon, insisted.need.version or "", where=insisted.where))


def find_version(addon: Addon, asked: str, *, where: str) -> AddonVersion:
    """The version asked for, its ``v`` written or not; raises :class:`InputError` naming those there are."""
    for version in addon.versions.values():
        if without_v(version.version) == without_v(asked):
            return version
    known = ", ".join(newest_charts_first(addon.versions)) or "a version"
    raise InputError(
        f"there is no such version of {addon.name} in the catalogue",
        where=where,
        wanted=_listed(f"one of {known}"),
        got=asked or "none",
        next_step="lay a folder with this version over the catalogue: --catalog DIR",
    )


def shown_addon(asked: str, catalog: Catalog) -> ChosenAddon | None:
    """The add-on that ``NAME[@VERSION]`` names; ``None`` where ``asked`` is rather a version of Kubernetes.

    Raises :class:`InputError` naming the add-ons there are.
    """
    if re.match(r"v?[0-9]", asked):
        return None
    ask = _Ask(_parsed(asked, asked), asked)
    name, version = ask.need.name, ask.need.version
    kind = catalog.kind_of(name)
    if kind is None:
        known = ", ".join((*catalog.offered("cni"), *catalog.offered("addon")))
        raise InputError(
            "there is no such add-on or pod network in the catalogue",
            where=asked,
            wanted=_listed(f"a version of Kubernetes, or one of {known}"),
            got=name,
            next_step="bundle catalog list",
        )
    addon = catalog.addon(kind, name)
    return ChosenAddon(addon, find_version(addon, addon.default if version is None else version, where=asked))


def demand_needs(chosen: ChosenAddon, catalog: Catalog) -> None:
    """Raises :class:`InputError` unless everything that ``chosen`` needs is there and goes together."""
    _Walk(catalog, {}).through([_Ask(Need(chosen.addon.name, chosen.version.version), str(chosen))])


def _demand_one_network(cni: str | None, chosen: Iterable[ChosenAddon], wanted_by: dict[str, str]) -> None:
    """A cluster has one pod network, and ``--cni none`` is a word, too."""
    networks = [f"{item.addon.name} ({wanted_by[item.addon.name]})" for item in chosen if item.addon.kind == "cni"]
    if len(networks) > (0 if cni == NO_NETWORK else 1):
        raise InputError(
            "a cluster has one pod network" if cni != NO_NETWORK else "--cni none leaves the pod network out",
            where=f"--cni {cni}" if cni else "bundle build",
            wanted="one of them" if cni != NO_NETWORK else "none",
            got="\n".join(networks),
            next_step="leave the others out",
        )


def _demand_kubernetes(chosen: ChosenAddon, release: Release, where: str) -> None:
    works = chosen.addon.kubernetes
    if works is not None and release.version not in works:
        raise InputError(
            f"{chosen} does not work with this Kubernetes",
            where=where,
            wanted=f"Kubernetes {works}",
            got=release.version,
            next_step=f"build for such a release, or leave this {NOUNS[chosen.addon.kind]} out",
        )


def _listed(text: str) -> str:
    """``text`` in lines; a name with a hyphen stays whole."""
    return textwrap.fill(text, 70, break_on_hyphens=False)
