"""Features of all items of a data set, for data sets that choose or order the items of another one by them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganrun.contracts.protocols import Dataset, Features
from ganrun.data.download import file_lock
from ganrun.data.order import LARGE
from ganrun.errors import DataError
from ganrun.evaluation.feature_store import FeatureStore
from ganrun.evaluation.features import FeatureContext, levels
from ganrun.evaluation.sources import loaded, real_rows, stored
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
    are computed; on the CPU they are the same wherever the run trains. They are kept on disk, under the fingerprints of
    data and extractor, if both have one; of several processes one computes them, and the others wait.

    Raises:
        DataError: for an entry that the data do not have or the extractor cannot serve, and for 2^24 items or more.
    """
    if entry not in data.spaces:
        raise DataError(f"features {part.name}: the data have no entry {entry!r}; they have {', '.join(data.spaces)}")
    if len(data) >= LARGE:
        raise DataError(f"features {part.name}: {len(data):,} items are too many to look at all of them; take fewer")
    context = FeatureContext(entry, data.spaces[entry], train or data, files.cache, torch.device(device), files.base)
    try:
        extract: Features = part.make(context)
    except Refusal as refusal:
        raise DataError(f"features {part.name}: {refusal}") from refusal
    if not (hasattr(data, "fingerprint") and getattr(extract, "keep", True)):
        return _computed(extract, data, entry)
    store, key = FeatureStore(files.cache / "features"), _key(part, extract, data, entry)
    path = store.path(key, "features")
    with file_lock(path, f"another process computes the features {part.name}"):
        kept = store.read(key, "features")
        found = _computed(extract, data, entry) if kept is None else kept["x"]
        if kept is None:
            store.write(key, "features", {"x": found})
    return found


def _computed(extract: Features, data: Dataset, entry: str) -> Tensor:
    space, found = data.spaces[entry], []
    with torch.no_grad():
        for _, items in real_rows(data, len(data)):
            found.append(extract(loaded(stored(items[entry], space))).float().cpu())
    return torch.cat(found)


def _key(part: Part, extract: Features, data: Any, entry: str) -> dict[str, Any]:
    space = data.spaces[entry]
    return {
        "data": data.fingerprint(),
        "entry": entry,
        "shape": list(space.shape),
        "rows": len(data),
        "levels": levels(space),
        "features": part.as_recipe(),
        "extractor": extract.fingerprint(),
    }
