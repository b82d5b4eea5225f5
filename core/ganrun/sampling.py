"""Sampling outside training: from fixed seeds, with the weights and modes that the event ``sampling`` chooses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganrun.game import Phase, Turn
from ganrun.randomness import Draws

if TYPE_CHECKING:
    from ganrun.engine import Engine

PHASE = Phase("sampling", player="")


@dataclass
class Sampling:
    """The payload of the event ``sampling``.

    modules: name -> the module to sample with; replace an entry to use other weights (and their buffers).
    training: names of modules that stay in training mode, wholly; all others are in evaluation mode.
    active: single layers that stay in training mode, such as the dropout of a generator that is noise on purpose.
    """

    modules: dict[str, nn.Module]
    training: set[str] = field(default_factory=set)
    active: list[nn.Module] = field(default_factory=list)


class Studio:
    """Makes samples with an engine's networks, without touching training: no draw, buffer or mode of it changes."""

    def __init__(self, engine: Engine, *, chunk: int = 256) -> None:
        self.engine = engine
        self.chunk = chunk

    @contextmanager
    def modules(self) -> Iterator[dict[str, nn.Module]]:
        """The modules to sample with, in the modes to sample in; modes and the global generator are put back after."""
        sampling = Sampling(dict(self.engine.modules))
        self.engine.hooks.sampling(sampling=sampling)
        used = [layer for module in {*self.engine.modules.values(), *sampling.modules.values()} for layer in module.modules()]
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

    def turn(self, n: int, seed: int = 0, *, real: Mapping[str, Tensor] | None = None, latents: Mapping[str, Tensor] | None = None) -> Turn:
        """One turn that made n samples: latents, made and real are filled. ``latents`` replaces what would be drawn.

        All n latents are drawn at once, so that sample i is the same however many are asked for in chunks.
        """
        with self.modules() as modules:
            return self._turn(n, seed, real, latents, modules)

    def panels(self, n: int, seed: int = 0, *, real: Mapping[str, Tensor] | None = None) -> dict[str, list[Tensor]]:
        """The variant's pictures of n samples: name -> columns of samples, on the CPU."""
        with self.modules() as modules:
            panels: dict[str, list[Tensor]] = self.engine.variant.panels(self._turn(n, seed, real, None, modules))
            return {name: [column.float().cpu() for column in columns] for name, columns in panels.items()}

    def _turn(
        self, n: int, seed: int, real: Mapping[str, Tensor] | None, latents: Mapping[str, Tensor] | None, modules: Mapping[str, nn.Module]
    ) -> Turn:
        whole = self._blank(n, seed, 0, real, modules)
        if latents is None:
            self.engine.variant.sample(whole)
            self.engine.hooks.sample(turn=whole)
        else:
            whole.latents = {name: tensor.to(self.engine.device) for name, tensor in latents.items()}
        pieces: list[dict[str, Tensor]] = []
        for start in range(0, n, self.chunk):
            rows = slice(start, min(start + self.chunk, n))
            piece = self._blank(rows.stop - start, seed, start, None if real is None else {k: v[rows] for k, v in real.items()}, modules)
            piece.latents = {name: tensor[rows] for name, tensor in whole.latents.items()}
            self.engine.seed_forward(piece)
            with self.engine.processes.autocast():
                self.engine.variant.make(piece)
            pieces.append(piece.made)
        whole.made = {name: torch.cat([piece[name] for piece in pieces]).to(torch.get_default_dtype()) for name in pieces[0]}
        return whole

    def _blank(self, n: int, seed: int, start: int, real: Mapping[str, Tensor] | None, modules: Mapping[str, nn.Module]) -> Turn:
        draws = Draws(("sampling", seed, start), device=self.engine.device)
        mine = None if real is None else {name: tensor.to(self.engine.device) for name, tensor in real.items()}
        return Turn(self.engine, PHASE, step=self.engine.clock.total, draws=draws, modules=modules, batch_size=n, real=mine)
