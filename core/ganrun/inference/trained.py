"""A trained run, opened from its folder: samples and translations without the data it was trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganrun.catalog.catalog import Catalog
from ganrun.contracts.protocols import Dataset
from ganrun.data.labels import asked_labels, check_labels, label_names
from ganrun.data.reader import read_items
from ganrun.data.splits import datasets
from ganrun.distributed import Processes
from ganrun.engine.engine import Engine
from ganrun.errors import UserError
from ganrun.experiment.experiment import Experiment
from ganrun.experiment.torch_settings import torch_settings
from ganrun.inference.absent import LazyDataset, came_from, with_stand_ins
from ganrun.inference.chosen import chosen, load_checkpoint
from ganrun.inference.sampling_network import sampling_network
from ganrun.recipe import Recipe, RecipeError, load_recipe
from ganrun.recipe.nodes import Node
from ganrun.recipe.yaml import read_file
from ganrun.sampling.arithmetic import along, around, concepts, direction, mean, total
from ganrun.sampling.sampling import SampleMaker, between, check_counts, every_value
from ganrun.training import checkpoint as checkpoints
from ganrun.training.build import build
from ganrun.training.restore import check_state, load_modules
from ganrun.training.versions import read_versions
from ganrun.words.spaces import Refusal, Space

NEAR = 0.25  # how far around a sum its neighbours lie, as in the DCGAN paper
LARGE_SAMPLE = 1 << 18  # numbers of a sample: 512 x 512 is less
UNUSED = ("evaluators", "observers", "checkpoint")  # what watches and scores a run is not needed to open it


def recipe_of(
    folder: Path,
    catalog: Catalog,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    to_train: bool = True,
    to_score: bool = False,
) -> Recipe:
    """The recipe of a run, its relative paths starting where they started then.

    Not ``to_train``, it comes without observers and, if not ``to_score``, without evaluators, and a plugin that acts in
    training only need not be installed here.

    Raises:
        UserError: if the folder holds no run, or a plugin that is needed is not here, naming where it came from.
    """
    if not (folder / "recipe.yaml").is_file():
        what = "holds no run (it has no recipe.yaml)" if folder.is_dir() else "is not there"
        raise UserError(f"{folder} {what}; give the folder that `ganrun recipe` printed, such as runs/dcgan_digits")
    changes = overrides if isinstance(overrides, Mapping) else list(overrides)
    source: Any = folder / "recipe.yaml"
    kept = read_versions(folder)
    if not to_train:
        unused = [key for key in UNUSED if key != "evaluators" or not to_score]
        plain = _plain(read_file(source, str(source)))
        if not isinstance(plain, dict):
            raise UserError(f"{source} is no recipe: a run's recipe is a mapping of keys such as variant: and dataset:")
        source = {key: value for key, value in plain.items() if key not in unused}
        catalog = with_stand_ins(catalog, folder, kept)
    try:
        recipe = load_recipe(source, catalog=catalog, overrides=changes)
    except RecipeError as error:
        lines = came_from(error, catalog, kept)
        if not lines:
            raise
        raise UserError(
            "\n".join([str(error), f"{folder} was trained with plugins that are not here:", *lines])
        ) from error
    if not to_train:
        recipe = dataclasses.replace(recipe, observers=[], evaluators=recipe.evaluators if to_score else [])
    return dataclasses.replace(recipe, name=folder.absolute().name, base=Path(kept.get("base", recipe.base)))


def _plain(node: Node) -> Any:
    """What was written, without where."""
    value = node.value
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


class Trained:
    """Networks of a run at one checkpoint. Samples are float32 on the CPU; images are in [-1, 1].

    folder, recipe, step: which run, and when. experiment: everything built, such as
    ``experiment.modules["generator"]``.
    label_names: entry of labels -> the names of its values, or of its columns.
    """

    def __init__(self, folder: Path, recipe: Recipe, checkpoint: str = "last") -> None:
        self.folder = folder
        self.recipe = recipe
        path = chosen(folder, checkpoint)
        self.dataset = datasets(self.recipe)
        kept = read_versions(folder).get("data")
        with self.settings():
            processes = Processes(self.recipe.train.device, self.recipe.train.precision)
            data: Any = self.dataset("train") if kept is None else LazyDataset(kept, lambda: self.dataset("train"))
            if kept is not None:
                self._check_size(data, processes)
            self.label_names = label_names(data)
            self.experiment: Experiment = build(self.recipe, data, processes, data=self.dataset)
            self.sample_maker = SampleMaker(Engine(self.experiment))
            self.step = load_checkpoint(folder, path, self._load)

    def _load(self, state: dict[str, Any]) -> None:
        """Take networks and the components' states from a checkpoint. Raises CheckpointError if they do not fit."""
        check_state(state)
        load_modules(self.experiment, state["modules"])
        for name, component in self.experiment.components().items():
            part = state["components"][0].get(name)
            if part is not None and hasattr(component, "load_state_dict"):
                component.load_state_dict(part)

    def _check_size(self, data: Dataset, processes: Processes) -> None:
        """Raise UserError before networks are allocated that are larger than any checkpoint: it holds others.

        Only what the run's folder says of large data is tried: it may be damaged, or somebody else's.
        """
        if all(max(space.size, space.classes) <= LARGE_SAMPLE for space in data.spaces.values()):
            return
        modules = build(self.recipe, data, processes, data=self.dataset, meta=True).modules.values()
        needed = sum(t.numel() * t.element_size() for module in modules for t in module.state_dict().values())
        tensors = [path / checkpoints.FILES[0] for _, path in checkpoints.listing(self.folder / "checkpoints")]
        held = max((path.stat().st_size for path in tensors if path.is_file()), default=0)
        if needed > held:
            raise UserError(
                f"{self.folder / 'versions.json'} tells of data for which the networks would take {needed:,} bytes, "
                f"and the checkpoints hold {held:,}: one of them does not belong to this run"
            )

    def settings(self) -> AbstractContextManager[None]:
        """torch's global settings of the run: whatever calls its networks does so in this context."""
        return torch_settings(self.recipe.train)

    @property
    def output(self) -> str:
        """The entry of the data that samples imitate, if none is named."""
        return self.experiment.description.outputs[0]

    @property
    def has_normal_latents(self) -> bool:
        """Whether latents are normal or on a sphere, so that points between two of them lie on an arc."""
        return self.experiment.provides("latent:normal") or self.experiment.provides("latent:spherical")

    def sample(self, n: int, seed: int = 0, *, ask: Mapping[str, Any] | None = None) -> Tensor:
        """n samples, (n, *shape). Sample i depends on the seed, what is asked for, and i alone.

        A variant that translates is given the first test items of its data, again and again if there are fewer than n.
        ask: labels that all samples are to have, as of :meth:`translate`.
        """
        check_counts(n=n)
        return self._made(n, seed, latents=self.latents(n, seed, ask=ask) if ask else None)

    def latents(self, n: int, seed: int = 0, *, ask: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
        """The latents of ``sample(n, seed, ask=ask)``, by name."""
        check_counts(n=n)
        labels = self.labels(ask or {})
        with self.settings():
            latents = self.sample_maker.latents(n, seed, real=self._real(n))
        return {**latents, **{name: _repeated(label, latents[name]) for name, label in labels.items()}}

    def from_latents(self, latents: Mapping[str, Tensor], seed: int = 0) -> Tensor:
        """Samples (n, *shape) of given latents, such as those between two of :meth:`latents`.

        Raises UserError for a label that is none of its values.
        """
        check_labels(latents, self.experiment.description.codes)
        return self._made(len(next(iter(latents.values()))), seed, latents)

    def interpolate(self, rows: int, columns: int, seed: int = 0, *, ask: Mapping[str, Any] | None = None) -> Tensor:
        """rows * columns samples, each row on the way from one sample to another.

        The way is an arc if latents are normal or on a sphere. ask: as of :meth:`sample`.

        Labels and codes, which have nothing in between, are those of the first end.

        Raises:
            UserError: for a variant that makes samples from real items alone.
        """
        check_counts(rows=rows, columns=columns)
        ends = self.latents(2 * rows, seed, ask=ask)
        if not any(latent.is_floating_point() for latent in ends.values()):
            raise UserError(
                f"{self.folder}: {self.recipe.variant.name} draws no latents, so there is nothing to interpolate"
            )
        found = {name: between(latent, columns, arc=self.has_normal_latents) for name, latent in ends.items()}
        return self.from_latents(found, seed)

    def each(
        self, name: str | None = None, columns: int = 8, seed: int = 0, *, ask: Mapping[str, Any] | None = None
    ) -> Tensor:
        """(classes * columns) samples: row i of the grid is of label i.

        The other latents of a column are those of one sample.

        name: which code; by default the first that is a label. ask: other labels, as of :meth:`sample`.

        Raises UserError if there is no such label, or it is asked for, too.
        """
        check_counts(columns=columns)
        name, space = self.code(name, "labels")
        if ask and name in self.labels(ask):
            raise UserError(f"{name} is asked for, and --each goes through all of its values; leave one of the two out")
        latents = self.latents(columns, seed, ask=ask)
        return self.from_latents(every_value(latents, name, torch.arange(space.classes).to(latents[name].device)), seed)

    def traverse(
        self,
        name: str | None = None,
        rows: int = 4,
        points: int = 8,
        seed: int = 0,
        *,
        ask: Mapping[str, Any] | None = None,
    ) -> Tensor:
        """Samples along a code, (D * rows * points).

        Each row of the grid has one latent, and one number of the code goes from -2 to 2.

        D is how many numbers the code holds, ``rows`` the rows for each. name: by default the first code that is no
        label. ask: as of :meth:`sample`. Raises UserError if there is none.
        """
        check_counts(rows=rows, points=points)
        name, space = self.code(name, "latent")
        latents = self.latents(rows, seed, ask=ask)
        pieces = []
        for number in range(space.size):
            found = {other: z.repeat_interleave(points, 0) for other, z in latents.items()}
            found[name].flatten(1)[:, number] = torch.linspace(-2, 2, points).repeat(rows).to(found[name])
            pieces.append(self.from_latents(found, seed))
        return torch.cat(pieces)

    def arithmetic(self, text: str, count: int = 8, seed: int = 0, *, ask: Mapping[str, Any] | None = None) -> Tensor:
        """Samples of ``A - B + C``, each a list of numbers of samples.

        The means of A, B and C, their sum, and ``count`` around it.

        See :mod:`ganrun.sampling.arithmetic`. The numbers are those of ``sample(n, seed, ask=ask)``.
        """
        check_counts(count=count)
        terms = concepts(text)
        latents = self._numbered([number for term in terms for number in term.samples], seed, ask)
        whole = total(latents, terms)
        rows = [mean(latents, term) for term in terms] + [around(whole, 1 + count, NEAR, seed)]
        return self.from_latents({name: torch.cat([row[name] for row in rows]) for name in latents}, seed)

    def turn(
        self, text: str, rows: int = 4, points: int = 8, seed: int = 0, *, ask: Mapping[str, Any] | None = None
    ) -> Tensor:
        """rows * points samples: each row is one sample, moved from A to B.

        ``A > B``, each a list of numbers of samples, names the direction.
        """
        check_counts(rows=rows, points=points)
        terms = direction(text)
        latents = self._numbered([rows - 1, *(number for term in terms for number in term.samples)], seed, ask)
        return self.from_latents(
            along({name: z[:rows] for name, z in latents.items()}, total(latents, terms), points), seed
        )

    def translate(
        self,
        batch: Tensor,
        *,
        to: str | None = None,
        source: str | None = None,
        ask: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Translate a batch (n, *shape), images in [-1, 1].

        ``to`` is the entry of the data to translate to (default: the variant's first output).

        ``source`` is the entry the batch stands for: by default the other one of the same kind. ``ask`` says which
        labels the translations are to have, such as ``{"label": "bold"}`` or ``{"attributes": [1, 0, 1]}``; what is not
        asked for is drawn.

        Raises:
            UserError: if the variant does not translate, has no such entry, or cannot be asked for such labels.
        """
        wanted, source = self.direction(to, source)
        n = len(batch)
        labels = self.labels(ask or {})
        with self.settings():
            real = self.blanks(n)
            real[source] = batch.to(torch.get_default_dtype())
            latents = None
            if labels:
                latents = self.sample_maker.latents(n, seed, real=real)
                latents |= {name: _repeated(label, latents[name]) for name, label in labels.items()}
            return self.sample_maker.turn(n, seed, real=real, latents=latents).made[wanted].detach().float().cpu()

    def generator(self, name: str | None = None) -> nn.Module:
        """The network that :meth:`sample` uses, as a plain module: see :func:`sampling_network`."""
        return sampling_network(self, name)

    def blanks(self, n: int) -> dict[str, Tensor]:
        """Zeros in the shapes of n real items, entry -> (n, ...)."""
        return {name: _blank(space, n) for name, space in self.experiment.dataset.spaces.items()}

    def labels(self, ask: Mapping[str, Any]) -> dict[str, Tensor]:
        """All that ``ask`` says of :meth:`translate` comes to: latent -> () or (A,) int64.

        Raises UserError as there.
        """
        variant = self.experiment.variant
        found = asked_labels(ask, self.experiment.description.codes, self.label_names)
        try:
            return variant.ask(found) if hasattr(variant, "ask") else found
        except Refusal as refusal:
            raise UserError(f"{self.folder}: {refusal}") from refusal

    def direction(self, to: str | None = None, source: str | None = None) -> tuple[str, str]:
        """The entries of the data that a translation makes and starts from. Raises UserError as :meth:`translate`."""
        description, spaces = self.experiment.description, self.experiment.dataset.spaces
        who = f"{self.folder}: {self.recipe.variant.name}"
        if not description.conditional:
            raise UserError(f"{who} makes samples from latents, it does not translate; use `ganrun sample`")
        wanted = to or self.output
        if wanted not in description.outputs:
            raise UserError(f"{who} does not make {wanted!r}; it makes {', '.join(description.outputs)}")
        others = [name for name, space in spaces.items() if name != wanted and space.kind == spaces[wanted].kind]
        source = source or (others[0] if others else wanted)
        if source not in spaces:
            raise UserError(f"{self.folder}: the data has no entry {source!r}; it has {', '.join(spaces)}")
        return wanted, source

    def code(self, name: str | None, kind: str) -> tuple[str, Space]:
        """A code of the variant, by name or the first of its kind. Raises UserError naming those there are."""
        codes = {
            code: space
            for code, space in self.experiment.description.codes.items()
            if space.kind == kind and not (kind == "labels" and space.shape)
        }
        who = f"{self.folder}: {self.recipe.variant.name}"
        what = "labels to ask for" if kind == "labels" else "codes to traverse"
        if self.experiment.description.conditional or not codes:
            raise UserError(f"{who} has no {what}; variants such as cgan and infogan have")
        if name is not None and name not in codes:
            raise UserError(
                f"{who} has no {name!r} among its {what}; there {'is' if len(codes) == 1 else 'are'} {', '.join(codes)}"
            )
        return next(iter(codes.items())) if name is None else (name, codes[name])

    def _numbered(self, numbers: Iterable[int], seed: int, ask: Mapping[str, Any] | None) -> dict[str, Tensor]:
        """The latents of the samples up to the largest number.

        Raises UserError if the variant draws none to calculate with.
        """
        latents = self.latents(max(numbers) + 1, seed, ask=ask)
        if not any(z.is_floating_point() for z in latents.values()) or self.experiment.description.conditional:
            raise UserError(
                f"{self.folder}: {self.recipe.variant.name} makes samples of real items, "
                "so there are no latents to calculate with"
            )
        return latents

    def _made(self, n: int, seed: int, latents: Mapping[str, Tensor] | None) -> Tensor:
        with self.settings():
            made = self.sample_maker.turn(n, seed, real=self._real(n), latents=latents).made
        return made[self.output].detach().float().cpu()

    def _real(self, n: int) -> dict[str, Tensor] | None:
        """The first n test items for a variant that needs real ones, to look at: scores take a fair draw of all."""
        if not self.experiment.description.conditional:
            return None
        dataset = self.dataset("test")
        pieces = list(read_items(dataset, [i % len(dataset) for i in range(n)], key=("samples",)))
        return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}


def _blank(space: Space, n: int) -> Tensor:
    return torch.zeros(n, *space.shape, dtype=torch.long if space.kind == "labels" else torch.get_default_dtype())


def _repeated(label: Tensor, latent: Tensor) -> Tensor:
    """A label () or (A,) for each row of the latents (n, ...) whose place it takes."""
    return label.to(latent).expand(len(latent), *label.shape)
