"""A replay buffer: the discriminator is shown fakes of former steps, too, so that it does not forget them.

Papers: Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training" (2016),
section 2.3; the per-image form of Zhu et al., "CycleGAN" (2017): until the pool of 50 is full, a fake is stored and
passed on; from then on, with probability p, it takes the place of a random stored one, which is passed on in its stead.

In batch form the swapped fakes of one batch take distinct slots, so a batch larger than the pool goes through it in
portions of the pool's size. There is one pool for every fake stream of every game; it holds clean samples (before
augmentation and noise) together with whatever is given with them, and what is known of them. The generator's turns
never see it. All processes keep the same pool, which the fakes of all go through in the order of the batch: it does not
depend on how a batch is divided.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Scheduled, Turn, hookimpl


class Pool:
    """Stored samples: tensors (size, ...) of which the first ``count`` rows are filled."""

    def __init__(self, stored: list[Tensor], count: int = 0) -> None:
        self.stored = stored
        self.count = count
        self.unfilled = 0  # slots that were free when the portion that goes through began

    def exchange(self, fresh: list[Tensor], swap: Tensor, order: Tensor, place: int = 0) -> list[Tensor]:
        """Pass samples through.

        fresh: tensors (n, ...) of the same samples; swap: (n,) bool; order: (size,) slots, all different; place: how
        many samples went through with this order before, in the same step.

        Returns tensors like ``fresh``. Only samples that find the pool full are swapped.
        """
        n, size = fresh[0].shape[0], self.stored[0].shape[0]
        if place == 0:
            self.unfilled = size - self.count
        free = min(n, size - self.count)
        first = place + free - self.unfilled  # of those that found it full, in the order
        slots, swap = order[first : first + n - free] if n > free else order[:0], swap[free:]
        passed = []
        for k, new in enumerate(fresh):
            kept = self.stored[k].to(new.device)  # after a resume it may still lie elsewhere
            kept[self.count : self.count + free] = new[:free]
            old, rest = kept[slots], new[free:]
            chosen = swap.reshape(-1, *[1] * (new.dim() - 1))
            kept[slots] = torch.where(chosen, rest, old)
            passed.append(torch.cat([new[:free], torch.where(chosen, old, rest)]))
            self.stored[k] = kept
        self.count += free
        return passed


class ReplayBuffer:
    """Swaps fakes with older ones on the discriminator's side."""

    strength: ClassVar[str] = "p"
    remedies: ClassVar[frozenset[str]] = frozenset({"oscillation", "mode-collapse"})
    needs: ClassVar[dict[str, Reason]] = {
        "game": Reason("there is no discriminator that could be shown older fakes", "a variant with a game")
    }
    refuses: ClassVar[dict[str, Reason]] = {
        "discriminator-sees-latent": Reason(
            "the discriminator scores pairs of a sample and its latent, and an encoder's or generator's loss relates "
            "each pair to this step's latents",
            "leave replay-buffer out",
        )
    }

    def __init__(
        self,
        *,
        size: Annotated[int, Field(ge=1, description="fakes stored for each game")] = 50,
        p: Annotated[
            Scheduled, Field(ge=0, le=1, description="probability that a fake is swapped, once the pool is full")
        ] = Scheduled(0.5),
    ) -> None:
        self.size = size
        self.p = p
        self.pools: dict[str, Pool] = {}

    @hookimpl
    def generated(self, turn: Turn) -> None:
        for round in turn.rounds:
            if round.side != "discriminator":
                continue
            for number, stream in enumerate(round.of("fake")):
                samples = [stream.x.detach(), *(t.detach() for t in (*stream.given, *stream.metadata.values()))]
                stream.x, *rest = self._through(turn, f"{round.game.name}.{number}", samples)
                seen = len(stream.given)
                stream.given, stream.metadata = tuple(rest[:seen]), dict(zip(stream.metadata, rest[seen:]))
                stream.latent = None  # its rows no longer belong to these samples

    def _through(self, turn: Turn, name: str, samples: list[Tensor]) -> list[Tensor]:
        """Pass tensors (B, ...) of the same samples through a pool, together with those of the other processes."""
        if name not in self.pools:
            self.pools[name] = Pool([x.new_zeros(self.size, *x.shape[1:]) for x in samples])
        rows = samples[0].shape[0]
        swap = turn.draws.uniform("replay-buffer", rows) < turn.now(self.p)  # (B,)
        everyone = [turn.rows_of_all(x) for x in samples]
        swap = turn.rows_of_all(swap)
        first = turn.micro * len(swap)  # where these rows begin in the batch of the step
        passed = []
        for start in range(0, rows * turn.draws.parts, self.size):  # portions of the whole batch, in all its parts
            numbers = turn.draws.generator("replay-buffer slots")
            here = slice(max(start - first, 0), min(start + self.size - first, len(swap)))
            if here.start < here.stop:
                # Numbers in random order give distinct slots, of which every row of the portion takes its own.
                order = torch.rand(self.size, generator=numbers, device=turn.draws.device).argsort()
                place = max(first - start, 0)
                passed.append(self.pools[name].exchange([x[here] for x in everyone], swap[here], order, place))
        mine = slice(turn.draws.part * rows - first, (turn.draws.part + 1) * rows - first)
        return [torch.cat(parts)[mine] for parts in zip(*passed)]

    def state_dict(self) -> dict[str, Any]:
        """Pool -> how many samples it holds, and the tensors (size, ...) of x and of what is given."""
        return {
            name: {"count": pool.count, "stored": {str(k): tensor for k, tensor in enumerate(pool.stored)}}
            for name, pool in self.pools.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned."""
        self.pools = {
            name: Pool([pool["stored"][str(k)].clone() for k in range(len(pool["stored"]))], int(pool["count"]))
            for name, pool in state.items()
        }


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "replay-buffer", ReplayBuffer)
