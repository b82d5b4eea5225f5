"""Accuracy where data have several entries of labels. What it says of one entry is in tests/plugins/test_sgan.py."""

import torch

from ganrun.data.reader import InMemory
from ganrun.testing.evaluators import scores
from ganrun.words.spaces import Space


class Sourced(InMemory):
    """Noise whose label is 1 always, and an entry of labels before it, a source that is 0 always."""

    def __init__(self, files, split: str) -> None:
        spaces = {"source": Space("labels", (), 2), "x": Space("image", (1, 8, 8)), "label": Space("labels", (), 2)}
        zeros = torch.zeros(64, dtype=torch.int64)
        super().__init__({"source": zeros, "x": torch.zeros(64, 1, 8, 8), "label": zeros + 1}, spaces, ["a", "b"])


def test_accuracy_compares_with_the_entry_that_was_inferred(tiny, make_run):
    recipe = tiny(variant={"sgan": {"latent": 4}}, dataset="sourced", evaluators=["accuracy"])
    run = make_run(recipe, {"dataset.sourced": Sourced})
    run.evaluation.inferred = lambda name, split="test", n=None: torch.tensor([[0.0, 1.0]]).expand(64, 2)
    assert scores(run) == {"accuracy": 1.0}
