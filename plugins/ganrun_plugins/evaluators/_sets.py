"""Sets of features as evaluators want them: checked, on the CPU, of one type; and reduced to equal sizes."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun.plugin import UserError, seeded
from ganrun.plugin.evaluation import not_finite


def checked(plugin: str, need: int, why: str, **sets: Tensor) -> list[Tensor]:
    """The sets, (n, d) each, as float32 or float64 on the CPU. ``why``: what needs ``need`` samples.

    Raises:
        UserError: for fewer than ``need`` samples, sets of unequal d, or values that are not finite.
    """
    found = []
    for name, x in sets.items():
        if x.ndim != 2 or x.shape[1] == 0:
            raise UserError(
                f"{plugin}: the {name} set has the shape {tuple(x.shape)}, and not (samples, features); "
                "flatten its features"
            )
        if len(x) < need:
            raise UserError(
                f"{plugin}: the {name} set has {len(x)} samples, and {why} needs at least {need}; ask for more samples"
            )
        x = x.detach().cpu()
        x = x if x.dtype == torch.float64 else x.float()
        bad = not_finite(x)
        if bad:
            raise UserError(
                f"{plugin}: {bad} of the {len(x)} samples of the {name} set have features that are not finite; "
                "leave them out"
            )
        found.append(x)
    sizes = {name: x.shape[1] for name, x in sets.items()}
    if len(set(sizes.values())) > 1:
        listed = " and ".join(f"{size} ({name})" for name, size in sizes.items())
        raise UserError(f"{plugin}: the sets have {listed} features; take both from one feature space")
    kind = torch.float64 if any(x.dtype == torch.float64 for x in found) else torch.float32
    return [x.to(kind) for x in found]


def reduced(x: Tensor, n: int, *key: object) -> Tensor:
    """n rows of x (m, d), in their order, chosen by a key: all of them if there are no more."""
    if len(x) <= n:
        return x
    chosen = torch.randperm(len(x), generator=seeded(torch.Generator(), *key))[:n]
    return x[chosen.sort().values]
