"""Images that ought to be equal: what was made, beside what it should have been."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganrun.data.order import mixed
from ganrun.data.reader import normalised
from ganrun.errors import UserError
from ganrun.evaluation.sources import Stored, loaded, stored

if TYPE_CHECKING:
    from ganrun.evaluation.evaluation import Evaluation

Pairs = dict[str, tuple[Tensor, Tensor]]  # name -> (made, truth), (N, C, H, W) each, row by row


def pairs_of(evaluation: Evaluation, n: int | None = None) -> Pairs:
    """Pairs of images that ought to be equal.

    What the variant pairs (a translation there and back), the hidden pairs of the data, or files of the same names in
    two folders.
    """
    if isinstance(evaluation.source, Stored):
        return _of_folders(evaluation, evaluation.source, n)
    hidden = _hidden(evaluation, n)
    pairs = {
        name: truth
        for name, truth in evaluation.description.pairs.items()
        # what answers a hidden pair is named after the way that it went, and is not there twice
        if name != truth or not any(way.endswith(f"-to-{name}") for way in hidden)
    }
    return dict(_of_variant(evaluation, pairs, n)) | hidden


def _of_variant(
    evaluation: Evaluation, pairs: Mapping[str, str], n: int | None
) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
    """Pairs of the variant, what it makes -> an entry of the data: made of test items, and those items."""
    if not pairs:
        return
    count = min(n or evaluation.count(), len(evaluation.dataset("test")))
    evaluation.requested.fakes.add(count)
    evaluation.requested.given = len(evaluation.dataset("test"))
    player = _maker(evaluation)
    made: dict[str, list[Tensor]] = {entry: [] for entry in pairs}
    for _, items in evaluation.source.stream(count, 0, 1, player):
        for entry, truth in pairs.items():
            made[entry].append(stored(items[entry], evaluation.source, truth))
    for entry, truth in pairs.items():
        yield entry, (loaded(torch.cat(made[entry])), evaluation.real(truth, "test", count))


def _maker(evaluation: Evaluation) -> str:
    """A player whose turns make all that is paired, first one that games are played against."""
    description = evaluation.description
    players = dict.fromkeys(
        [*(player for game in description.games for player in game.against), *(p.name for p in description.players)]
    )
    for player in players:
        _, made = next(iter(evaluation.source.stream(1, 0, 1, player)))
        if description.pairs.keys() <= made.keys():
            return player
    raise UserError(
        f"the variant pairs {', '.join(description.pairs)} with real items, and makes them in no player's turns"
    )


def _hidden(evaluation: Evaluation, n: int | None) -> Pairs:
    pairs = evaluation.hidden_pairs(n or evaluation.samples)
    pairs.pop("label", None)
    if not pairs:
        return {}
    first, second = pairs
    ways = [(a, b) for a, b in ((first, second), (second, first)) if b in evaluation.description.outputs]
    return {f"{a}-to-{b}": (evaluation.generate(pairs, b), pairs[b].float()) for a, b in ways}


def hidden_pairs(evaluation: Evaluation, n: int | None) -> dict[str, Tensor]:
    """What ``Evaluation.hidden_pairs`` returns."""
    held: Any = evaluation.dataset("test")
    if not hasattr(held, "hidden_pairs"):
        return {}
    pairs = normalised(held.hidden_pairs(), "cpu")
    every = len(next(iter(pairs.values())))
    count = min(n or every, every)
    evaluation.requested.real_samples("test", count, evaluation.mark_of("test"), every)
    rows = torch.from_numpy(mixed(every)(np.arange(count)))
    return {name: x[rows] for name, x in pairs.items()}


def _of_folders(evaluation: Evaluation, source: Stored, n: int | None) -> Pairs:
    made: Any = source.dataset
    real: Any = evaluation.dataset("test")
    if getattr(made, "names", None) is None or made.names != getattr(real, "names", None):
        return {}
    count = min(n or evaluation.samples or len(made), len(made))
    return {evaluation.output: (evaluation.fakes(n=count), evaluation.real(n=count))}
