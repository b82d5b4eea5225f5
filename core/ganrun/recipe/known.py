"""Which keys a recipe may have: those of every recipe, and the networks that its variant asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ganrun.errors import PluginError, nearest

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog

NETWORKS = {"generator": "generator", "discriminator": "discriminator"}  # of every recipe: key -> kind of plugin
BEFORE = ("extends", "variant", "dataset")
BEHIND = ("loss", "sampler", "tricks", "without", "players", "evaluators", "observers", "checkpoint", "train", "init")


@dataclass(frozen=True)
class Known:
    """What a recipe is read by: the names of the installed losses, and key -> kind of plugin of its networks.

    ``elsewhere``: keys of networks of other variants, which are looked up if some key is unknown.
    """

    losses: Collection[str] = ()
    networks: Mapping[str, str] = field(default_factory=lambda: dict(NETWORKS))
    elsewhere: Collection[str] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key of the top level, in the order in which people write them."""
        return (*BEFORE, *self.networks, *BEHIND)

    def unknown(self, key: object) -> str:
        """What is wrong with a key that is none of these: what may have been meant, or what there is."""
        near = nearest(key, (*self.keys, *self.elsewhere))
        return f"unknown key{near or '; a recipe takes ' + ', '.join(self.keys)}"


def known_to(catalog: Catalog, variant: str | None, used: Collection[object]) -> Known:
    """What a recipe of a variant, with these keys at its top level, is read by.

    A key that the variant does not ask for is known, too, if another installed one does: a recipe may be extended by
    recipes of several variants, and building it warns. Raises PluginError if the variant's declaration is wrong.
    """
    networks = NETWORKS | (declared(catalog, variant) if variant is not None else {})
    known = Known(catalog.names("loss"), networks)
    unknown = set(used) - set(known.keys)
    if not unknown:
        return known
    others: dict[str, str] = {}
    for name in catalog.names("variant"):
        with contextlib.suppress(PluginError):  # a broken one is reported elsewhere
            others = declared(catalog, name) | others
    met = {key: kind for key, kind in others.items() if key in unknown}
    return Known(known.losses, {**networks, **met}, sorted(others))


def declared(catalog: Catalog, variant: str) -> dict[str, str]:
    """The keys that a variant asks for besides generator and discriminator -> kind of plugin; empty for an unknown one.

    Raises PluginError for a key of every recipe, and for what is no kind of network.
    """
    if variant not in catalog.names("variant"):
        return {}
    networks = getattr(catalog.load("variant", variant).factory, "networks", {})
    if not isinstance(networks, Mapping):
        raise PluginError(f"variant.{variant} cannot be used: its `networks` is not a mapping of recipe keys to kinds")
    for key, kind in networks.items():
        if key in (*BEFORE, *BEHIND):
            raise PluginError(f'variant.{variant} cannot be used: its `networks` names "{key}", a key of every recipe')
        if kind not in NETWORKS:
            kinds = " or ".join(NETWORKS)
            raise PluginError(f'variant.{variant} cannot be used: its `networks` has {key}: "{kind}"; it is {kinds}')
    return dict(networks)
