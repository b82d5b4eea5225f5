"""A pairwise cover: few small recipes in which every pair of variant, loss and tricks occurs that is not refused.

Each recipe holds several tricks at once, so some eighty cover what would be more than a thousand single pairs. The
cover is built greedily: a pair that is not covered yet begins a recipe, which then takes the tricks that bring the most
new pairs. A pair counts as refused only if every small experiment that could hold it refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import Any

from ganrun.catalog.catalog import Catalog
from ganrun.preflight.combinations import REFUSED, Judge
from ganrun.preflight.stages import SILENT, STAGES
from ganrun.testing.plugin import Example

Item = tuple[str, str]  # kind and name: ("loss", "hinge")
Pair = frozenset[Item]
BATCH_NORM: tuple[dict[str, Any], ...] = (
    {"mlp": {"widths": [16, 16], "norm": "batch"}},
    {"dcgan": {"width": 8, "norm": "batch"}},
    {"resnet-translator": {"blocks": 1, "width": 4, "norm": "batch"}},
)
_MOST = 8  # tricks in one recipe


@dataclass(frozen=True)
class Base:
    """A variant on a small stage with a loss, and a discriminator that serves it: what tricks are added to."""

    variant: str
    loss: str
    recipe: Mapping[str, Any] = field(hash=False)

    @property
    def items(self) -> frozenset[Item]:
        """The variant and the loss."""
        return frozenset({("variant", self.variant), ("loss", self.loss)})


@dataclass(frozen=True)
class Member:
    """One recipe of the cover."""

    base: Base
    tricks: tuple[str, ...]
    recipe: Mapping[str, Any] = field(hash=False)

    @property
    def pairs(self) -> set[Pair]:
        """The pairs that occur in it."""
        return pairs_of(self.base.items | {("trick", name) for name in self.tricks})

    def __str__(self) -> str:
        return f"{self.base.variant} + {self.base.loss} + {' + '.join(self.tricks) or 'no trick'}"


def pairs_of(items: frozenset[Item]) -> set[Pair]:
    """Every two of some items."""
    return {frozenset(pair) for pair in combinations(sorted(items), 2)}


class Cover:
    """Finds the members. ``members`` covers all pairs that are not in ``refused``, pair -> the reasons.

    variants, tricks: those to be covered, all by default.
    """

    def __init__(
        self,
        catalog: Catalog,
        examples: Mapping[str, Any],
        *,
        tricks: Sequence[str] | None = None,
        variants: Sequence[str] | None = None,
    ) -> None:
        self.catalog = catalog
        self.examples = examples
        self.judge = Judge(catalog)
        self.variants = sorted(catalog.names("variant") if variants is None else variants)
        self.tricks = list(tricks if tricks is not None else sorted(catalog.names("trick")))
        self.losses = sorted(catalog.names("loss"))
        self._without: dict[Pair, tuple[str, ...]] = {}  # a loss that a variant refuses makes no base
        self.bases = list(self._bases())
        self.members: list[Member] = []
        self.refused: dict[Pair, tuple[str, ...]] = {}
        self._known: dict[tuple[int, frozenset[str]], tuple[str, ...]] = {}

    # --- what tricks are added to -----------------------------------------------------------------------------

    def _bases(self) -> Iterator[Base]:
        """Every variant on every data set that it accepts, of the smallest size.

        Each with every loss and a discriminator that serves it.

        One whose example names a data set is tried on that one alone.
        """
        for variant in self.variants:
            accepted: set[str] = set()
            for stage in self._stages(variant):
                dataset = next(iter(stage["dataset"]))
                recipe = (
                    None
                    if dataset in accepted
                    else self._accepted({**stage, "variant": self._part("variant", variant), "without": SILENT})
                )
                if recipe is not None:
                    accepted.add(dataset)
                    yield from self._with_losses(variant, recipe)

    def _stages(self, variant: str) -> list[dict[str, Any]]:
        example = self.examples.get(f"variant.{variant}", Example())
        own = dict(example.recipe) if isinstance(example, Example) else {}
        return [{**STAGES["images"], **own}] if "dataset" in own else list(STAGES.values())

    def _accepted(self, stage: dict[str, Any]) -> dict[str, Any] | None:
        return next((recipe for recipe in self._dressed(stage) if self.judge.check(recipe).result != REFUSED), None)

    def _with_losses(self, variant: str, recipe: dict[str, Any]) -> Iterator[Base]:
        for loss in self.losses:
            found, verdict = self.judge.best({**recipe, "loss": self._part("loss", loss)}, self._discriminators())
            if verdict.result == REFUSED:
                self._without.setdefault(frozenset({("loss", loss), ("variant", variant)}), verdict.reasons)
            else:
                yield Base(variant, loss, found)

    def _dressed(self, recipe: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The stage with batch normalisation in its generators, if they take it (tricks replace it); then as it is."""
        name = next(iter(recipe["generator"]))
        for generator in BATCH_NORM:
            if name in generator:
                yield {**recipe, "generator": generator}
        yield recipe

    def _discriminators(self) -> list[Any]:
        return [self._part("discriminator", name) for name in self.catalog.names("discriminator")]

    def _part(self, kind: str, name: str) -> dict[str, Any]:
        example = self.examples.get(f"{kind}.{name}", Example())
        return {name: dict(example.parameters) if isinstance(example, Example) else {}}

    # --- whether something goes together ------------------------------------------------------------------------

    def recipe(self, base: Base, tricks: Sequence[str]) -> dict[str, Any]:
        """A base with some tricks."""
        return {**base.recipe, "tricks": [self._part("trick", name) for name in tricks]}

    def why_not(self, base: Base, tricks: Sequence[str]) -> tuple[str, ...]:
        """The reasons why a base refuses some tricks; empty if it does not.

        A set is known to be refused if a part of it is.
        """
        key = (id(base), frozenset(tricks))
        for size in (1, 2):
            for some in combinations(sorted(tricks), size):
                if reasons := self._known.get((id(base), frozenset(some))):
                    return reasons
        if key not in self._known:
            verdict = self.judge.check(self.recipe(base, sorted(tricks)))
            self._known[key] = verdict.reasons if verdict.result == REFUSED else ()
        return self._known[key]

    # --- the cover --------------------------------------------------------------------------------------------------

    def wanted(self) -> list[Pair]:
        """(loss, variant), (trick, variant), (trick, loss) and (trick, trick)."""
        variants = [("variant", name) for name in self.variants]
        losses = [("loss", name) for name in self.losses]
        tricks = [("trick", name) for name in self.tricks]
        found = [frozenset({a, b}) for a in losses for b in variants]
        found += [frozenset({a, b}) for a in tricks for b in (*variants, *losses)]
        return found + [frozenset(pair) for pair in combinations(tricks, 2)]

    def each_once(self) -> list[Pair]:
        """Every trick with a loss that goes with it, and every loss with a trick: losses take turns."""
        found: list[Pair] = []
        for number, trick in enumerate(self.tricks):
            turns = self.losses[number % len(self.losses) :] + self.losses[: number % len(self.losses)]
            fitting = (
                loss
                for loss in turns
                if any(base.loss == loss and not self.why_not(base, [trick]) for base in self.bases)
            )
            found += [frozenset({("trick", trick), ("loss", loss)}) for loss in islice(fitting, 1)]
        met = {name for pair in found for kind, name in pair if kind == "loss"}
        variants = {base.loss: base.variant for base in self.bases}
        return found + [
            frozenset({("loss", loss), ("variant", variants[loss])}) for loss in variants if loss not in met
        ]

    def find(self, wanted: Sequence[Pair] | None = None) -> Cover:
        """Fill ``members`` and ``refused``, so that every wanted pair (:meth:`wanted`) is in one of them."""
        open_pairs = dict.fromkeys(self.wanted() if wanted is None else wanted)
        while open_pairs:
            pair = next(iter(open_pairs))
            member = self._begin(pair, open_pairs)
            if member is None:
                del open_pairs[pair]
                continue
            self.members.append(member)
            for covered in member.pairs & open_pairs.keys():
                del open_pairs[covered]
        return self

    def _begin(self, pair: Pair, open_pairs: Mapping[Pair, None]) -> Member | None:
        """A member that holds the pair, and as many other open pairs as fit; None, the reasons kept, if none can."""
        tricks = sorted(name for kind, name in pair if kind == "trick")
        rest = {item for item in pair if item[0] != "trick"}
        reasons: tuple[str, ...] = self._without.get(pair, ("no small experiment holds both",))
        start = len(self.members)  # so that bases take turns
        for base in self.bases[start % len(self.bases) :] + self.bases[: start % len(self.bases)]:
            if rest <= base.items:
                reasons = self.why_not(base, tricks)
                if not reasons:
                    chosen = self._filled(base, tricks, open_pairs)
                    return Member(base, chosen, self.recipe(base, chosen))
        self.refused[pair] = reasons
        return None

    def _filled(self, base: Base, tricks: Sequence[str], open_pairs: Mapping[Pair, None]) -> tuple[str, ...]:
        chosen = list(tricks)
        left = [name for name in self.tricks if name not in chosen]
        while left and len(chosen) < _MOST:
            items = base.items | {("trick", name) for name in chosen}
            gains = {name: sum(frozenset({("trick", name), item}) in open_pairs for item in items) for name in left}
            name = max(left, key=lambda name: gains[name])
            left.remove(name)
            if gains[name] and not self.why_not(base, [*chosen, name]):
                chosen.append(name)
        return tuple(sorted(chosen))
