"""What the observer ``health`` measures: numbers of a turn as it is taken, and of samples made from fixed latents.

A measurement is a tensor () on the device under a name ``quantity:subject``; all of a check are read at once. A check
draws from keys of its own, changes no buffer, mode or gradient, and leaves torch's global generator as it was.

    of a turn     gradient:PLAYER  norm of the gradient that is applied
                  update:PLAYER    |new - old| / |old| of the weights
                  weights:PLAYER   norm of the weights
                  broken:PHASE     terms that are not finite
                  auc:GAME         P(score of a real sample > of a fake)
                  margin:GAME      mean score of real samples minus fakes
                  pull:GAME        mean |d value / d logit| of the generator's side, by fakes
    of samples    close10:OUTPUT   share of pairs closer than the nearest 10% of pairs of real ones; close25 and 50 too
                  spread:OUTPUT    deviation of the samples, 1 is the data's
                  drift:OUTPUT     distance since the last check, in the data's deviation
                  path0:OUTPUT     mean on an axis of the data, in deviations
    of scores     gap:GAME         (train - held out) / (train - fake), mean scores; 0 without overfitting,
                                   1 if held out counts as fake
                  memory:GAME      P(score of a train sample > of a held-out one)
    of a part     augmented:GAME   distance that augmentation moves a real sample, in the data's deviation
                  kept:GAME        share of the variance between samples that survives it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import Call, DiscriminatorOutput, Round, Run, Stream, Turn, UserError
from ganrun.plugin.data import read_items, subset

SIDE = 16  # images are compared at this many pixels at most: what differs between samples, and not their noise
AXES = 4  # of the data, along which the samples' mean is followed
REFERENCE = 256  # real samples whose pairs are what samples are held against, where reading them is cheap
SCORES = 512  # of each kind at most: the scores of patches are many
SHARES = (10, 25, 50)  # per cent of the pairs of real samples
TINY = 1e-12

Values = dict[str, Tensor]


# --- pure functions -------------------------------------------------------------------------------------------------


def norm(tensors: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all numbers of some tensors, (), in float32."""
    return torch.stack([t.detach().float().norm() for t in tensors]).norm() if tensors else torch.zeros(())


def relative_update(before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
    """|after - before| / |before| over all tensors, (); a step from 0 counts as a whole one."""
    moved, size = norm([b.detach() - a for a, b in zip(before, after)]), norm(before)
    return torch.where(size > 0, moved / size.clamp(min=TINY), (moved > 0).to(moved.dtype))


def auc(real: Tensor, fake: Tensor) -> Tensor:
    """P(a real score > a fake score), ties count half, ().

    0.5 if the discriminator knows nothing, 1 if it is never wrong.

    It is the same for every loss, being blind to the scale and the zero of scores.
    """
    difference = real.flatten()[:, None] - fake.flatten()[None, :]  # (n, m)
    return (difference > 0).float().mean() + (difference == 0).float().mean() / 2


def gap(train: Tensor, held_out: Tensor, fake: Tensor) -> Tensor:
    """(train - held out) / (train - fake) of mean scores, (), in [-1, 2].

    0 where real samples score no higher than fakes.

    Karras et al. 2020 (ADA), equation 1, without its running means.
    """
    margin = train.mean() - fake.mean()
    ratio = (train.mean() - held_out.mean()) / margin.clamp(min=TINY)
    return torch.where(margin > 0, ratio, torch.zeros_like(ratio)).clamp(-1, 2)


def kept(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Covariance over samples of two augmentations of x, over the variance of x, (): 1 for none, 0 if all is lost."""
    a, b = (t.flatten(1) - t.flatten(1).mean(0) for t in (first, second))  # (B, D)
    return (a * b).sum() / (x.flatten(1) - x.flatten(1).mean(0)).square().sum().clamp(min=TINY)


def thumbnail(x: Tensor) -> Tensor:
    """Samples (B, ...) -> (B, D) float32: points as they are, images averaged to at most 16 x 16 pixels."""
    x = x.detach().float()
    if x.dim() == 4:
        x = F.adaptive_avg_pool2d(x, (min(SIDE, x.shape[2]), min(SIDE, x.shape[3])))
    return x.flatten(1)


def distances(x: Tensor) -> Tensor:
    """The distances of all pairs of rows of x (n, D), each pair once: (n (n - 1) / 2,)."""
    return F.pdist(x)


def deviation(x: Tensor) -> Tensor:
    """Root of the mean variance of the columns of x (n, D), ()."""
    return (x - x.mean(0)).square().mean().sqrt()


def axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """The main axes of x (n, D) and the deviations along them: (D, k), (k,), the widest first."""
    centred = (x - x.mean(0)).double().cpu()
    _, sizes, rows = torch.linalg.svd(centred, full_matrices=False)
    wide = sizes > sizes.max() * 1e-6
    count = min(AXES, int(wide.sum()))
    return rows[:count].T.float().to(x.device), (sizes[:count] / len(x) ** 0.5).float().to(x.device)


def thinned(scores: Sequence[Tensor]) -> Tensor:
    """Scores of any shapes as one row, evenly thinned to at most 512."""
    row = torch.cat([s.detach().float().flatten() for s in scores])
    return row[:: -(-len(row) // SCORES)]


# --- a turn ---------------------------------------------------------------------------------------------------------


def of_gradients(turn: Turn) -> tuple[Values, list[Tensor]]:
    """The gradient of the turn's player, and copies of the weights it will change."""
    parameters = turn.parameters()
    gradients = [p.grad for p in parameters if p.grad is not None]
    return {f"gradient:{turn.player}": norm(gradients)}, [p.detach().clone() for p in parameters]


def of_update(turn: Turn, before: Sequence[Tensor]) -> Values:
    """How far the weights moved, and how the discriminators scored in this turn."""
    parameters = turn.parameters()
    terms = torch.stack([term.value.detach().float() for term in turn.terms.values()])
    values = {
        f"update:{turn.player}": relative_update(before, parameters),
        f"weights:{turn.player}": norm(parameters),
        f"broken:{turn.phase.name}": (~terms.isfinite()).float().sum(),
    }
    for round in turn.rounds:
        if round.side == "discriminator" and round.of("real") and round.of("fake"):
            with torch.no_grad():
                real, fake = (scores_of(turn, round, role) for role in ("real", "fake"))
            values[f"auc:{round.game.name}"] = auc(real, fake)
            values[f"margin:{round.game.name}"] = real.mean() - fake.mean()
        elif round.side == "generator" and not round.game.symmetric and round.of("fake"):
            values[f"pull:{round.game.name}"] = pull(turn, round)
    return values


def scores_of(turn: Turn, round: Round, role: Any) -> Tensor:
    """The scores of a round's streams of one role, (N,)."""
    return thinned([turn.score(round, stream.output) for stream in round.of(role) if stream.output is not None])


def pull(turn: Turn, round: Round) -> Tensor:
    """How strongly the loss pulls at the fakes' logits: the mean over samples of |d value / d logits|, ().

    1 for Wasserstein and hinge; 1 - D for the non-saturating loss and D for the minimax one, with D the probability of
    being real.
    """
    streams = []
    for stream in round.streams:
        assert stream.output is not None
        logits = stream.output.logits.detach().float().requires_grad_(stream.role == "fake")
        streams.append(replace(stream, output=DiscriminatorOutput(logits, stream.output.features, stream.output.heads)))
    leaves = [s.logits for s in streams if s.role == "fake"]
    with torch.enable_grad():
        values: Mapping[Stream, Tensor] = turn.loss(round.game.name).generator(replace(round, streams=streams))
        total = torch.stack([value.sum() for value in values.values()]).sum()
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    sizes = [_per_sample(g) for g in gradients if g is not None]
    return torch.cat(sizes).mean() if sizes else total.detach().new_zeros(())


def _per_sample(gradient: Tensor) -> Tensor:
    """Of logits (B,), (B, 1, H, W) or (B, K, ...): the norm over K of each sample or patch, (N,)."""
    return (gradient.norm(dim=1) if gradient.dim() > 1 else gradient.abs()).flatten()


# --- samples --------------------------------------------------------------------------------------------------------


class Bench:
    """The fixed material of one run: latents, real samples of both splits, and what the data's samples are like.

    rows: how many samples a check has. Whatever a discriminator is shown comes in batches no larger than those of
    training. ``latents`` are those that a resumed run began with: a sampler may draw others in later steps.
    """

    def __init__(self, run: Run, samples: int, latents: Mapping[str, Tensor] | None = None) -> None:
        self.run, self.experiment = run, run.experiment
        experiment = run.experiment
        train, held_out = run.dataset("train"), _held_out(run)
        size = experiment.recipe.train.batch_size
        pack = max(
            (experiment.description.networks[g.discriminator].interface.pack for g in experiment.games), default=1
        )
        most = min(samples, len(train), len(held_out) if held_out is not None else samples)
        self.rows = most // size * size if most > size else max(most // pack * pack, min(pack, len(train)))
        self.batch = min(size, self.rows)
        self.player = next((game.player for game in experiment.games), experiment.description.players[0].name)
        self.train = self._read(train, "train", self.rows)
        self.held_out = (
            self._read(held_out, "test", self.rows) if held_out is not None and len(held_out) >= self.rows else None
        )
        self.augmented = experiment.provides("augmented")
        self.depends = (
            experiment.description.conditional
            or len(experiment.networks("generator")) > 1
            or bool(experiment.networks("encoder"))
        )
        wide = (
            self._read(train, "train", max(REFERENCE, self.rows)) if getattr(train, "in_memory", False) else self.train
        )
        self.outputs = [
            n for n in experiment.description.outputs if experiment.dataset.spaces[n].kind in ("image", "points")
        ]
        self.reference = {name: Reference(thumbnail(wide[name])) for name in self.outputs}
        self.latents = {name: z.to(run.processes.device) for name, z in (latents or {}).items()} or self._drawn()

    def _read(self, dataset: Any, split: str, n: int) -> dict[str, Tensor]:
        """Some samples, chosen once and for all, on the device: data sets may be sorted by class."""
        chosen = subset(len(dataset), n, "health", split)
        device = getattr(dataset, "device", "cpu") if getattr(dataset, "in_memory", False) else "cpu"
        pieces = list(read_items(dataset, chosen, key=("health",), device=device))
        return {name: torch.cat([piece[name] for piece in pieces]).to(self.run.processes.device) for name in pieces[0]}

    def _drawn(self) -> dict[str, Tensor]:
        with torch.random.fork_rng(), torch.no_grad():
            turn = self._turn(self.train, "latents")
            turn.variant.sample(turn)
        return turn.latents

    def _turn(self, real: Mapping[str, Tensor], purpose: str) -> Turn:
        """A turn of a discriminator's player that is never taken."""
        seed, step = self.run.recipe.train.seed, max(self.run.step - 1, 0)
        key = ("health", seed, purpose, *(() if purpose == "latents" else (step,)))
        return self.run.untaken(real, key, player=self.player, phase="health")

    def check(self, before: Mapping[str, Tensor]) -> tuple[Values, dict[str, Tensor]]:
        """All measurements now, and the samples (rows, D) that the next check compares with; ``before``: the last."""
        with torch.random.fork_rng(), torch.no_grad():
            turn = self._made(self.train)
            made = turn.made
            # A network's average may stand in for it when samples are made: then those are what users get. Found now,
            # because a trick may begin to do so, or cease, in any step.
            if any(weights != "trained" for weights in self.run.sample_maker.weights().values()):
                real = self.train if self.experiment.description.conditional else None
                made = self.run.sample_maker.turn(self.rows, real=real, latents=self.latents).made
            samples = {name: thumbnail(made[name]) for name in self.outputs}
            values: Values = {}
            for name, x in samples.items():
                found = self.reference[name].compare(x, before.get(name))
                values |= {f"{quantity}:{name}": value for quantity, value in found.items()}
            values |= self._scores(turn)
            if self.augmented:
                values |= self._augmentation(turn)
        return values, samples

    def _made(self, real: Mapping[str, Tensor]) -> Turn:
        """A turn whose fakes are made with the weights and in the mode of training, by batches; no buffer changes."""
        turn = self._turn(real, "look")
        turn.latents = dict(self.latents)
        with self.run.processes.autocast():
            pieces = [turn.part(rows).remake({}) for rows in self._batches()]
        turn.made = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
        return turn

    def _batches(self) -> list[slice]:
        return [slice(start, start + self.batch) for start in range(0, self.rows, self.batch)]

    def _scores(self, turn: Turn) -> Values:
        """Mean scores of train samples, held-out samples and fakes of every game."""
        if self.held_out is None:
            return {}
        other = self._made(self.held_out) if self.depends else self._turn(self.held_out, "look")
        if not self.depends:
            other.latents, other.made = turn.latents, turn.made
        found: dict[str, list[list[Tensor]]] = {}
        for rows in self._batches():
            for game, kinds in self._scored(turn.part(rows), other.part(rows)):
                pieces = found.setdefault(game, [[], [], []])
                for piece, scores in zip(pieces, kinds):
                    piece.append(scores)
        values = {}
        for game, pieces in found.items():
            train, held_out, fake = (torch.cat(piece) for piece in pieces)
            values[f"gap:{game}"] = gap(train, held_out, fake)
            values[f"memory:{game}"] = auc(train, held_out)
        return values

    def _scored(self, turn: Turn, other: Turn) -> Iterator[tuple[str, tuple[Tensor, Tensor, Tensor]]]:
        """Game -> scores of train samples, held-out ones, fakes.

        A call for a penalty leaves a discriminator's buffers alone.
        """
        streams, held = turn.variant.streams(turn), other.variant.streams(other)
        for game in turn.games.values():
            round = Round(game, "discriminator", list(streams.get(game.name, ())), turn.now)
            if not round.of("real") or not round.of("fake"):
                continue
            turn.send(round, round.streams, tag="penalty")
            real, fake = (scores_of(turn, round, role) for role in ("real", "fake"))
            unseen = Round(
                game, "discriminator", [s for s in held[game.name] if s.role == "real"] + round.of("fake"), turn.now
            )
            other.send(unseen, unseen.of("real"), tag="penalty")
            yield game.name, (real, scores_of(other, unseen, "real"), fake)

    def _augmentation(self, turn: Turn) -> Values:
        """What the event ``augment`` does to real samples: of several real streams of a game the mean.

        Its draws are this turn's own.
        """
        values: Values = {}
        for name, streams in turn.variant.streams(turn).items():
            moved, left = [], []
            for stream in (s for s in streams if s.role == "real"):
                round = Round(turn.games[name], "discriminator", [stream], turn.now)
                calls = [Call(round, stream.x, "real", stream.given) for _ in range(2)]
                for call in calls:
                    turn.transform(call, ("augment",))
                first, second = calls
                if first.x.shape == stream.x.shape:
                    x, scale = thumbnail(stream.x), deviation(thumbnail(stream.x)).clamp(min=TINY)
                    moved.append((first.x - stream.x).float().square().mean().sqrt() / scale)
                    left.append(kept(x, thumbnail(first.x), thumbnail(second.x)))
            if moved:
                values |= {f"augmented:{name}": torch.stack(moved).mean(), f"kept:{name}": torch.stack(left).mean()}
        return values


class Reference:
    """What real samples (n, D) are like among themselves, and how others compare."""

    def __init__(self, real: Tensor) -> None:
        self.mean, self.deviation = real.mean(0), deviation(real).clamp(min=TINY)
        pairs = distances(real)
        shares = torch.tensor([share / 100 for share in SHARES], dtype=pairs.dtype, device=real.device)
        self.radii = torch.quantile(pairs, shares) if len(pairs) else torch.zeros(len(SHARES), device=real.device)
        self.axes, self.sizes = axes(real)

    def compare(self, x: Tensor, before: Tensor | None) -> Values:
        """Measurements of samples (n, D), and of their distance from what the same latents gave before."""
        pairs = distances(x)
        values = (
            {f"close{share}": (pairs <= radius).float().mean() for share, radius in zip(SHARES, self.radii)}
            if len(pairs)
            else {}
        )
        values["spread"] = deviation(x) / self.deviation
        values["broken"] = (~x.isfinite()).float().mean()
        if before is not None and before.shape == x.shape:
            values["drift"] = (x - before.to(x.device)).square().mean().sqrt() / self.deviation
        for number, place in enumerate((x.mean(0) - self.mean) @ self.axes / self.sizes):
            values[f"path{number}"] = place
        return values


def _held_out(run: Run) -> Any:
    """The test split, None if the data have none of their own."""
    try:
        held_out = run.dataset("test")
    except UserError:
        return None
    both = (run.dataset("train"), held_out)
    # others are expensive to read
    if all(getattr(data, "in_memory", False) and hasattr(data, "fingerprint") for data in both):
        prints = [data.fingerprint() for data in both]  # type: ignore[attr-defined]
        if prints[0] == prints[1]:
            return None
    return held_out if len(held_out) else None
