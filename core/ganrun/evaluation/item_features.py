"""Features of all items of a data set, for data sets that choose or order the items of another one by them."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun.contracts.protocols import Dataset, Features
from ganrun.data.locks import file_lock
from ganrun.data.order import LARGE
from ganrun.data.reader import read_items
from ganrun.engine.boundaries import check_shape
from ganrun.errors import DataError
from ganrun.evaluation.feature_store import FeatureStore
from ganrun.evaluation.features import FeatureContext, kept_under
from ganrun.evaluation.sources import CHUNK, KEY, loaded, stored
from ganrun.progress import track
from ganrun.recipe import Part
from ganrun.words.spaces import DataFiles, Refusal


def item_features(
    part: Part,
    data: Dataset,
    files: DataFiles,
    *,
    entry: str = "x",
    train: Dataset | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Features (N, size) float32 on the CPU of every item of a data set, in its order, as evaluators see them.

    part: a parameter marked ``PartOf("features")``. data: whose items. files: what the constructor was given. entry:
    which entry of the data. train: the split that extractors may learn from, if it is not ``data``. device: where they
    are computed; on the CPU they are the same wherever the run trains. They are kept on disk if the data have a
    fingerprint and the extractor does not say ``keep = False``; of several processes one computes them, and the others
    wait.

    Raises:
        DataError: for an entry that the data do not have or the extractor cannot serve, and for 2^24 items or more.
    """
    if entry not in data.spaces:
        raise DataError(f"features {part.name}: the data have no entry {entry!r}; they have {', '.join(data.spaces)}")
    if len(data) >= LARGE:
        raise DataError(f"features {part.name}: {len(data):,} items are too many to look at all of them; take fewer")
    context = FeatureContext(
        entry, data.spaces[entry], data if train is None else train, files.cache, torch.device(device), files.base
    )
    try:
        extract: Features = part.make(context)
    except Refusal as refusal:
        raise DataError(f"features {part.name}: {refusal}") from refusal
    if not (hasattr(data, "fingerprint") and getattr(extract, "keep", True)):
        return _computed(extract, data, entry)
    store = FeatureStore(files.cache / "features")
    key = kept_under(part, extract.fingerprint(), data.fingerprint(), data, entry, len(data))
    with file_lock(store.path(key, "features"), f"another process computes the features {part.name}"):
        kept = store.read(key, "features")
        found = _computed(extract, data, entry) if kept is None else kept["x"]
        if kept is None:
            store.write(key, "features", {"x": found})
    return found


def _computed(extract: Features, data: Dataset, entry: str) -> Tensor:
    found = []
    for items in track(read_items(data, rows=CHUNK, key=KEY), f"features of {entry}, chunks", -(-len(data) // CHUNK)):
        x = loaded(stored(items[entry], data, entry))
        with torch.no_grad():
            some = extract(x)
        check_shape(extract, "__call__", some, (len(x), extract.size))
        found.append(some.float().cpu())
    return torch.cat(found)
