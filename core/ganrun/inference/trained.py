"""A trained run, opened from its folder: samples and translations without the data it was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganrun.data.labels import asked_labels, check_labels
from ganrun.data.reader import read_items
from ganrun.errors import UserError
from ganrun.inference.any_size import fitted
from ganrun.inference.sampling_network import sampling_network
from ganrun.sampling.arithmetic import along, around, concepts, direction, mean, total
from ganrun.sampling.sampling import NormStatistics, between, check_counts, every_value
from ganrun.training.opened import OpenedRun
from ganrun.words.spaces import Refusal, Space

NEAR = 0.25  # how far around a sum its neighbours lie, as in the DCGAN paper


class Trained(OpenedRun):
    """Networks of a run at one checkpoint. Samples are float32 on the CPU; images are in [-1, 1].

    folder, recipe, step: which run, and when. experiment: everything built; its modules are as training left them, and
    :meth:`generator` gives those that samples are made with.
    label_names: entry of labels -> the names of its values, or of its columns.
    """

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
        statistics: NormStatistics | None = None,
    ) -> Tensor:
        """Translate a batch (n, *shape), images in [-1, 1], of any height and width if the networks have ``any-size``.

        Sides that are no multiples of what the networks ask for are padded with a mirror image, which is cut off again.

        ``to`` is the entry of the data to translate to (default: the variant's first output).

        ``source`` is the entry the batch stands for: by default the other one of the same kind. ``ask`` says which
        labels the translations are to have, such as ``{"label": "bold"}``, ``{"attributes": [1, 0, 1]}`` or
        ``{"Smiling": 1}``; what is not asked for is drawn. ``statistics`` says what BatchNorm takes, ``running`` ones
        or those of the ``batch``; None: as the variant has it.

        Raises:
            UserError: if the variant does not translate, has no such entry, or cannot be asked for such labels, and for
                images of other channels, or of another size than the networks are built for.
        """
        wanted, source = self.direction(to, source)
        n = len(batch)
        labels = self.labels(ask or {})
        batch, padding = fitted(self, batch, source)
        with self.settings():
            real = self.blanks(n)
            real[source] = batch.to(torch.get_default_dtype())
            latents = None
            if labels:
                latents = self.sample_maker.latents(n, seed, real=real)
                latents |= {name: _repeated(label, latents[name]) for name, label in labels.items()}
            turn = self.sample_maker.turn(n, seed, real=real, latents=latents, statistics=statistics)
        made = turn.made[wanted].detach().float().cpu()
        return made if padding is None else padding.cut(made)

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
