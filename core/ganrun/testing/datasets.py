"""What a data set has to keep; with ``offline = False`` (it is downloaded), what needs its files is left out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganrun.data.order import sample_rows, subset
from ganrun.errors import UserError
from ganrun.randomness import ItemDraws
from ganrun.testing.conditions import offline, when
from ganrun.testing.plugin import Plugin
from ganrun.words.spaces import DataFiles, Space

SPLITS = ("train", "test")
FIRST, OTHERS = 256, 1024  # samples that are compared
FEW = 20  # samples below which nothing can be said
CLASSES = 20  # of more the rarest have too few samples for a share
FAR = 5.5  # standard errors: of a hundred numbers one is as far in a million fair draws


def make(plugin: Plugin, split: str) -> Any:
    """A new instance of a split."""
    return plugin.part.make(DataFiles(plugin.folder, plugin.folder / "cache"), split)


def read(dataset: Any, indices: list[int], epoch: int = 0) -> dict[str, Tensor]:
    """A batch of items, as a reader asks for it."""
    chosen = np.asarray(indices, dtype=np.int64)
    batch: dict[str, Tensor] = dataset.batch(torch.from_numpy(chosen), ItemDraws(("check",), np.asarray(epoch), chosen))
    return batch


@when(offline)
def check_batch_agrees_with_spaces(plugin: Plugin) -> None:
    """A batch has exactly the entries of ``spaces``, in their shapes and ranges."""
    for split in SPLITS:
        data = make(plugin, split)
        batch = read(data, [0, len(data) - 1, 0])
        assert set(batch) == set(data.spaces), f"a batch has {sorted(batch)}, spaces has {sorted(data.spaces)}"
        for name, space in data.spaces.items():
            x = batch[name]
            assert tuple(x.shape) == (3, *space.shape), (
                f"{split} {name}: {tuple(x.shape)} instead of {(3, *space.shape)}"
            )
            if space.kind == "image":
                inside = x.dtype == torch.uint8 or (x.is_floating_point() and float(x.abs().max()) <= 1)
                assert inside, f"{name}: images are uint8, or floats in [-1, 1]"
            elif space.kind == "labels":
                assert x.dtype == torch.int64, f"{name}: labels are int64, not {x.dtype}"
                assert 0 <= int(x.min()) <= int(x.max()) < space.classes, f"{name}: labels outside 0..classes - 1"
                # further labels, such as attributes, have names of their own
                named = len(data.classes) == space.classes or name != "label"
                assert named, f"{len(data.classes)} class names for {space.classes} classes"
            else:
                assert x.is_floating_point() and bool(x.isfinite().all()), f"{name}: must be finite floats"


@when(offline)
def check_attributes(plugin: Plugin) -> None:
    """``classes`` and ``in_memory`` are there, and an epoch has items."""
    data = make(plugin, "train")
    assert isinstance(data.in_memory, bool), "in_memory is not a bool"
    assert len(data) > 0, "the train split is empty"
    assert all(isinstance(name, str) for name in data.classes), "classes are names"


@when(offline)
def check_known_labels(plugin: Plugin) -> None:
    """``known_labels()``, if it is there, says what batches say."""
    for split in SPLITS:
        data = make(plugin, split)
        if hasattr(data, "known_labels"):
            rows = list(range(0, len(data), max(1, len(data) // 8)))
            batch = read(data, rows)
            for name, known in data.known_labels().items():
                assert len(known) == len(data), f"{name}: {len(known)} labels of {len(data)} items"
                assert torch.equal(known[rows].cpu(), batch[name]), f"{name}: known_labels() and a batch differ"


@when(offline)
def check_splits_differ(plugin: Plugin) -> None:
    """No train item is a test item."""
    seen: dict[str, set[bytes]] = {}
    for split in SPLITS:
        data = make(plugin, split)
        spaces = data.spaces
        batch = read(data, list(range(min(len(data), 256))))
        names = [name for name in spaces if spaces[name].kind != "labels"]
        seen[split] = {
            b"".join(batch[name][i].numpy().tobytes() for name in names) for i in range(len(batch[names[0]]))
        }
    assert not seen["train"] & seen["test"], "the splits share items"


@when(offline)
def check_refuses_other_splits(plugin: Plugin) -> None:
    """An unknown split raises a DataError."""
    try:
        make(plugin, "no-such-split")
    except UserError:
        return
    raise AssertionError("a split called no-such-split is accepted; raise ganrun.plugin.data.DataError")


@when(offline)
def check_item_is_the_same_in_any_batch(plugin: Plugin) -> None:
    """An item depends on (key, epoch, index) alone: not on its neighbours, its instance, or what was read before."""
    for split in SPLITS:
        data = make(plugin, split)
        last = len(data) - 1
        together, again = read(data, [last, 0, last // 2]), read(make(plugin, split), [0])
        alone = read(data, [0])
        for name in together:
            assert torch.equal(together[name][1], alone[name][0]), (
                f"{split} {name}: an item differs with its batch; draw with `draws`"
            )
            assert torch.equal(alone[name], again[name]), f"{split} {name}: an item differs between two instances"


@when(offline)
def check_first_samples_are_a_fair_draw(plugin: Plugin) -> None:
    """The first samples, as scores take them, look like the others: as many of each class, as bright, at one place.

    Scores take items in a keyed order, ``sequential`` data as they are numbered: those have to be mixed.
    """
    for split in SPLITS:
        data = make(plugin, split)
        first = min(len(data) // 2, FIRST)
        if first < FEW:
            continue
        places = np.arange(first), first + subset(len(data) - first, OTHERS, "others")
        beginning, others = (read(data, sample_rows(data, some).tolist()) for some in places)
        for name, space in data.spaces.items():
            here, there = (numbers(batch[name], space) for batch in (beginning, others))  # (n, K), (m, K)
            both = torch.cat([here, there])
            error = both.std(0) * math.sqrt(1 / len(here) + 1 / len(there))
            far = float(((here.mean(0) - there.mean(0)).abs() / error).nan_to_num(0, 0, 0).max())
            assert far < FAR, (
                f"{split} {name}: the first {first} samples are {far:.0f} standard errors from the others, so a score "
                "of some would not be one of all; mix the items, or leave `order` out"
            )


def numbers(x: Tensor, space: Space) -> Tensor:
    """What is compared of items (n, ...): (n, K) float64; shares of classes, else means, deviations and coordinates."""
    if space.kind == "labels" and not space.shape and space.classes <= CLASSES:
        return torch.nn.functional.one_hot(x, space.classes).double()
    rows = x.double().flatten(1) if x.dim() > 1 else x.double()[:, None]
    return torch.stack([rows.mean(1), rows.std(1)], 1) if space.kind == "image" else rows


@when(offline)
def check_fingerprint(plugin: Plugin) -> None:
    """``fingerprint``, if there is one, is the same for two instances, and another for the other split."""
    data = make(plugin, "train")
    if hasattr(data, "fingerprint"):
        mark = data.fingerprint()
        assert isinstance(mark, str) and mark == make(plugin, "train").fingerprint(), (
            "the fingerprint differs between two instances"
        )
        assert mark != make(plugin, "test").fingerprint(), "both splits have the same fingerprint"
