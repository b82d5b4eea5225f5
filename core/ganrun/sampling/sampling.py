"""Sampling outside training: from fixed seeds, with the weights and modes that the event ``sampling`` chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor, nn

from ganrun.contracts.protocols import InferringVariant
from ganrun.data.image_grid import Panel
from ganrun.data.reader import normalised
from ganrun.engine.turn import Turn
from ganrun.errors import UserError
from ganrun.progress import track
from ganrun.randomness import Draws
from ganrun.sampling.networks import WithTensors
from ganrun.sampling.turn import SamplingTurn, chunks
from ganrun.words.game import Phase, Round

if TYPE_CHECKING:
    from ganrun.engine.engine import Engine
    from ganrun.experiment.experiment import Experiment


NormStatistics = Literal["running", "batch"]  # what BatchNorm takes


@dataclass
class Sampling:
    """The payload of the event ``sampling``.

    modules: name -> the module to sample with; replace an entry to use other weights (and their buffers). One that
    wraps a network may offer ``plain()``, a copy of the network with these weights as its own.
    training: names of modules that stay in training mode, wholly; all others are in evaluation mode.
    active: single layers that stay in training mode, such as the dropout of a generator that is noise on purpose.
    weights: what the weights of a replaced module are, such as ``average``: kept with every score.
    """

    modules: dict[str, nn.Module]
    training: set[str] = field(default_factory=set)
    active: list[nn.Module] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)

    def use(self, name: str, tensors: dict[str, Tensor], weights: str = "replaced") -> None:
        """Sample with other parameters and buffers of a network, by name. weights: what they are."""
        module = self.modules[name]
        network = module.network if isinstance(module, WithTensors) else module
        self.modules[name] = WithTensors(network, tensors)
        self.weights[name] = weights


class SampleMaker:
    """Makes samples with an engine's networks, without touching training: no draw, buffer or mode of it changes.

    ``said``: name of a network -> what its own weights are, if they are not simply trained ones.
    """

    def __init__(self, engine: Engine, *, chunk: int = 256) -> None:
        self.engine = engine
        self.chunk = chunk
        self.said: Mapping[str, str] = {}

    @property
    def experiment(self) -> Experiment:
        """The experiment whose networks make the samples."""
        return self.engine.experiment

    @contextmanager
    def modules(self, statistics: NormStatistics | None = None) -> Iterator[dict[str, nn.Module]]:
        """The modules to sample with, in the modes to sample in; modes and the global generator are put back after.

        statistics: what BatchNorm takes, running ones or those of the batch; None: as the variant has it.
        """
        with self.engine.experiment.settings(), self._modules() as modules, batch_norm_by(modules, statistics):
            yield modules

    @contextmanager
    def _modules(self) -> Iterator[dict[str, nn.Module]]:
        sampling = Sampling(dict(self.engine.modules))
        self.engine.hooks.sampling(sampling=sampling)
        used = [
            layer
            for module in {*self.engine.modules.values(), *sampling.modules.values()}
            for layer in module.modules()
        ]
        modes = [(layer, layer.training) for layer in used]
        try:
            for name, module in sampling.modules.items():
                module.train(name in sampling.training)
            for layer in sampling.active:
                layer.train()
            with torch.random.fork_rng(), torch.no_grad():
                yield sampling.modules
        finally:
            for layer, mode in modes:
                layer.training = mode

    def turn(
        self,
        n: int,
        seed: int = 0,
        *,
        real: Mapping[str, Tensor] | None = None,
        latents: Mapping[str, Tensor] | None = None,
        statistics: NormStatistics | None = None,
    ) -> Turn:
        """One turn that made n samples: latents, made and real are filled. ``latents`` replaces what would be drawn.

        All n latents are drawn at once, so that sample i is the same however many are asked for in chunks. statistics:
        as of :meth:`modules`.
        """
        with self.modules(statistics) as modules:
            return self._turn(n, seed, real, latents, modules)

    def one_made(self, modules: Mapping[str, nn.Module], real: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """What the variant makes of one sample with these modules, those of :meth:`modules`."""
        return self._turn(1, 0, real, None, modules).made

    def made_of(self, modules: Mapping[str, nn.Module], latents: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the variant makes of latents, in one piece; with its graph under ``torch.enable_grad``."""
        rows = slice(0, len(next(iter(latents.values()))))
        return self._piece(rows, 0, None, latents, modules).made

    def panels(self, n: int, seed: int = 0, *, real: Mapping[str, Tensor] | None = None) -> dict[str, Panel]:
        """The variant's images of n samples: name -> a panel, on the CPU."""
        with self.modules() as modules:
            made = self.engine.variant.panels(self._turn(n, seed, real, None, modules))
        return {name: _panel(columns) for name, columns in made.items()}

    def stream(
        self,
        n: int,
        seed: int = 0,
        *,
        real: Callable[[slice], Mapping[str, Tensor]] | None = None,
        part: int = 0,
        parts: int = 1,
        player: str = "",
    ) -> Iterator[tuple[slice, Turn]]:
        """The samples of :meth:`turn` in chunks, (rows, turn), none of them kept.

        ``part`` of ``parts`` makes every parts-th chunk.

        real: rows -> the real items that fakes are made from; latents are then drawn chunk by chunk. player: makes what
        this player's turns make, such as the way back of a translation.
        """
        latents = None
        if real is None:
            with self.modules() as modules:
                latents = self._drawn(n, seed, 0, None, modules, part, parts)
        for rows in chunks(n, self.chunk, part, parts):
            with self.modules() as modules:
                given = None if real is None else real(rows)
                drawn = (
                    self._drawn(rows.stop - rows.start, seed, rows.start, given, modules)
                    if latents is None
                    else _rows_of(latents, rows)
                )
                piece = self._piece(rows, seed, given, drawn, modules, player)
            yield rows, piece

    def latents(
        self, n: int, seed: int = 0, *, real: Mapping[str, Tensor] | None = None, start: int = 0
    ) -> dict[str, Tensor]:
        """The latents of n samples by name, all drawn at once, so that sample i is the same however many are asked for.

        start: of samples made from real items, the row of the first, if they are a chunk of :meth:`stream`.
        """
        with self.modules() as modules:
            return self._drawn(n, seed, start, real, modules)

    def each(self, name: str, values: Tensor, columns: int, seed: int = 0) -> list[Tensor]:
        """Samples of each of ``values`` (V, ...) of one latent: ``columns`` tensors (V, *shape), on the CPU.

        Row i is of value i; the other latents of a column are those of one sample.
        """
        found = every_value(self.latents(columns, seed), name, values.to(self.engine.device))
        made = self.turn(len(values) * columns, seed, latents=found).made[self.engine.experiment.description.outputs[0]]
        return list(made.detach().float().cpu().unflatten(0, (len(values), columns)).unbind(1))

    def scores(self, x: Tensor) -> Tensor:
        """What the first game's discriminator makes of samples (n, *shape): (n,) float32 on the CPU.

        Without augmentation and noise.

        The score of the loss, larger is more real; of patches the mean. Raises IndexError if the variant plays no game.
        """
        game = self.engine.experiment.games[0]
        with self.modules() as modules, self.engine.processes.autocast():
            turn = self._blank(len(x), 0, 0, {}, modules)
            round = Round(game, "watcher", [], turn.now)
            output = turn.discriminate(
                round, x.to(self.engine.device, torch.get_default_dtype()), role="fake", tag="feature"
            )
            score = turn.score(round, output).detach().float().cpu()
        return score.flatten(1).mean(1) if score.dim() > 1 else score

    def infer(
        self, real: Mapping[str, Tensor], seed: int = 0, *, networks: Mapping[str, nn.Module] | None = None
    ) -> dict[str, Tensor]:
        """What the variant's ``infer`` gives for real items, name -> (n, ...), float32 on the CPU.

        networks: name -> a module that stands in for the run's own.
        """
        variant = cast(InferringVariant, self.engine.variant)
        with self.modules() as modules, self.engine.processes.autocast():
            turn = self._blank(len(next(iter(real.values()))), seed, 0, real, {**modules, **(networks or {})})
            return {name: found.detach().float().cpu() for name, found in variant.infer(turn).items()}

    def weights(self) -> dict[str, str]:
        """Name of each generator -> the weights it samples with: ``trained``, or what a trick put in their place."""
        sampling = Sampling(dict(self.engine.modules))
        self.engine.hooks.sampling(sampling=sampling)
        named = {}
        for name in self.engine.experiment.networks("generator"):
            replaced = sampling.modules[name] is not self.engine.modules[name]
            named[name] = sampling.weights.get(name, "replaced") if replaced else self.said.get(name, "trained")
        return named

    def caption(self) -> str:
        """What a picture of samples says of the weights that made them; empty if they are the trained ones."""
        named = self.weights()
        if len(set(named.values())) > 1:
            return "weights: " + "; ".join(f"{name}: {weights}" for name, weights in named.items())
        return "".join(f"weights: {weights}" for weights in set(named.values()) - {"trained"})

    def _drawn(
        self,
        n: int,
        seed: int,
        start: int,
        real: Mapping[str, Tensor] | None,
        modules: Mapping[str, nn.Module],
        part: int = 0,
        parts: int = 1,
    ) -> dict[str, Tensor]:
        """The latents of n samples. ``part`` of ``parts`` makes every parts-th chunk: others' are not worked for."""
        turn = self._blank(n, seed, start, real, modules)
        turn.chunk, turn.part_of_rows, turn.parts_of_rows = self.chunk, part, parts
        self.engine.variant.sample(turn)
        self.engine.hooks.sample(turn=turn)
        return turn.latents

    def _piece(
        self,
        rows: slice,
        seed: int,
        real: Mapping[str, Tensor] | None,
        latents: dict[str, Tensor],
        modules: Mapping[str, nn.Module],
        player: str = "",
    ) -> Turn:
        """One chunk: what the variant makes of these latents and real items."""
        turn = self._blank(rows.stop - rows.start, seed, rows.start, real, modules, player)
        turn.latents = latents
        self.engine.seed_forward(turn)
        with self.engine.processes.autocast():
            self.engine.variant.make(turn)
        turn.made = {name: made.to(torch.get_default_dtype()) for name, made in turn.made.items()}
        return turn

    def _turn(
        self,
        n: int,
        seed: int,
        real: Mapping[str, Tensor] | None,
        latents: Mapping[str, Tensor] | None,
        modules: Mapping[str, nn.Module],
    ) -> Turn:
        whole = self._blank(n, seed, 0, real, modules)
        given = None if latents is None else {name: tensor.to(self.engine.device) for name, tensor in latents.items()}
        whole.latents = self._drawn(n, seed, 0, real, modules) if given is None else given
        pieces = [
            self._piece(
                rows, seed, None if real is None else _rows_of(real, rows), _rows_of(whole.latents, rows), modules
            ).made
            for rows in track(list(chunks(n, self.chunk)), f"making {n} samples, chunks", -(-n // self.chunk))
        ]
        whole.made = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
        return whole

    def _blank(
        self,
        n: int,
        seed: int,
        start: int,
        real: Mapping[str, Tensor] | None,
        modules: Mapping[str, nn.Module],
        player: str = "",
    ) -> SamplingTurn:
        draws = Draws(("sampling", seed, start), device=self.engine.device, by_row=True)
        mine = None if real is None else normalised(real, self.engine.device)
        return SamplingTurn(
            self.engine,
            Phase("sampling", player),
            step=self.engine.clock.total,
            draws=draws,
            modules=modules,
            batch_size=n,
            real=mine,
            in_training=False,
        )


@contextmanager
def batch_norm_by(modules: Mapping[str, nn.Module], statistics: NormStatistics | None) -> Iterator[None]:
    """BatchNorm by running statistics, or by those of the batch while running ones stay as they are; None: as it is."""
    layers = [
        layer
        for module in modules.values()
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None
    ]
    kept = [[buffer.clone() for buffer in layer.buffers()] for layer in layers] if statistics == "batch" else []
    for layer in layers if statistics is not None else ():
        layer.train(statistics == "batch")
    try:
        yield
    finally:
        for layer, buffers in zip(layers, kept):
            for buffer, before in zip(layer.buffers(), buffers):
                buffer.copy_(before)


def check_counts(**counts: int) -> None:
    """Raise UserError for a number of samples, rows or columns below 1, by the parameter's name."""
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"{name}: expected at least 1, got {count}")


def _rows_of(tensors: Mapping[str, Tensor], rows: slice) -> dict[str, Tensor]:
    return {name: tensor[rows] for name, tensor in tensors.items()}


def every_value(latents: Mapping[str, Tensor], name: str, values: Tensor) -> dict[str, Tensor]:
    """Each of V values of one latent with each of n rows of the others, (V * n, ...), value by value."""
    n = len(next(iter(latents.values())))
    found = {other: latent.repeat(len(values), *[1] * (latent.dim() - 1)) for other, latent in latents.items()}
    return {**found, name: values.to(latents[name].dtype).repeat_interleave(n, 0)}


def between(ends: Tensor, points: int, *, arc: bool) -> Tensor:
    """Pairs of latents (2 * pairs, ...) -> (pairs * points, ...), from the first of each pair to the second.

    Labels and codes, which have nothing in between, are those of the first end.
    """
    first, second = ends[0::2], ends[1::2]  # (pairs, ...)
    if not ends.is_floating_point():
        return first.repeat_interleave(points, 0)
    steps = torch.linspace(0, 1, points, dtype=ends.dtype, device=ends.device)
    share = steps.view(1, points, *[1] * (ends.dim() - 1))  # (1, points, 1, ...)
    first, second = first.unsqueeze(1), second.unsqueeze(1)  # (pairs, 1, ...)
    if arc:
        # White 2016, "Sampling Generative Networks": between normal latents a straight line passes where none are
        # drawn. Directions go along the arc and lengths from one to the other: the arc of unequal lengths would leave
        # them far behind where it is nearly half a circle.
        axes = tuple(range(2, first.dim()))
        here, there = first.norm(dim=axes, keepdim=True), second.norm(dim=axes, keepdim=True)  # (pairs, 1, 1, ...)
        one, other = (first / here).double(), (second / there).double()
        angle = 2 * torch.atan2(
            (one - other).norm(dim=axes, keepdim=True), (one + other).norm(dim=axes, keepdim=True)
        ).clamp(min=1e-6)
        direction = ((1 - share) * angle).sin() * one + (share * angle).sin() * other
        # exactly opposite ones meet at 0
        direction = direction / direction.norm(dim=axes, keepdim=True).clamp(min=1e-12)
        mixed = direction.to(ends.dtype) * ((1 - share) * here + share * there)
    else:
        mixed = (1 - share) * first + share * second
    found: Tensor = mixed.flatten(0, 1)  # (pairs * points, ...)
    return found


def _panel(columns: Sequence[Tensor] | Mapping[str, Tensor]) -> Panel:
    """Columns of a variant's panel, which may have names."""
    named = columns if isinstance(columns, Mapping) else {}
    every = list(named.values()) if named else list(cast("Sequence[Tensor]", columns))
    return Panel([column.float().cpu() for column in every], list(named))
