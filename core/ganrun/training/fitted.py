"""Weights of other code, read into the same networks here.

Modules here stand in the order of the authors' code, so most names agree; a network whose names differ says which are
which (``reference_names``: their prefix -> ours). Three things are put right:

- ``module.`` in front of every name, from training on several GPUs;
- running statistics of instance normalisation, which older code kept and never used;
- ``weight_orig``, ``weight_u``, ``weight_v`` of torch's old spectral normalisation, and ``weight_g``, ``weight_v`` of
  its old weight normalisation, for networks that the recipe normalises so, too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganrun.errors import UserError, some

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
SPECTRAL = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
WEIGHT = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


def fitted(state: Mapping[str, Tensor], module: nn.Module, where: str) -> dict[str, Tensor]:
    """A state dict of other code under the names that a network has here. ``where`` is what errors call it.

    Raises:
        UserError: with the names that are missing, too many, or of another shape.
    """
    own = module.state_dict()
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        here = _named(name, getattr(module, "reference_names", {}), own)
        if here in renamed:
            raise UserError(f"{where}: it holds two tensors for {here}, one of them as {name}; leave one out")
        renamed[here] = tensor
    kept = {
        name: tensor for name, tensor in renamed.items() if name in own or name.rpartition(".")[2] not in STATISTICS
    }
    problems = [
        *_listed("it lacks", sorted(own.keys() - kept.keys())),
        *_listed("it has, and the network here has not,", sorted(kept.keys() - own.keys())),
        *_listed(
            "of another shape",
            [
                f"{n} {_shape(t)} for {tuple(own[n].shape)}"
                for n, t in kept.items()
                if n in own and _shape(t) != tuple(own[n].shape)
            ],
        ),
    ]
    if problems:
        cure = (
            "check the network's parameters in the recipe (width, blocks, norm, ...) against those it was trained with"
        )
        raise UserError(f"{where}: {'; '.join(problems)}; {cure}")
    for name, tensor in kept.items():
        if wrong := _unfit(tensor, own[name]):
            raise UserError(f"{where}: {name} {wrong}")
    return kept


def _unfit(tensor: Tensor, own: Tensor) -> str:
    """Why a tensor of the right shape cannot become a network's weight, with a way out; empty if it can."""
    if tensor.is_meta:
        return "has a shape and no values (a tensor on torch's meta device); save the weights themselves"
    if tensor.is_quantized:
        return "is quantised; save tensor.dequantize()"
    if tensor.layout != torch.strided or tensor.is_nested:
        return "is sparse or nested; save tensor.to_dense()"
    if tensor.is_complex() or own.is_floating_point() != tensor.is_floating_point():
        return f"holds {_type(tensor)} numbers where the network has {_type(own)} ones; convert it where it was saved"
    if own.is_floating_point() and not bool(torch.isfinite(tensor.to(own.dtype)).all()):
        lost = f" as {_type(own)}" if bool(torch.isfinite(tensor.double()).all()) else ""
        return f"has values that are not finite{lost} (infinite, or no numbers): it comes from a run that failed"
    return ""


def _shape(tensor: Tensor) -> tuple[int, ...]:
    """A tensor's shape; that of a nested one, which has several, is its first."""
    return tuple(tensor.unbind()[0].shape) if tensor.is_nested else tuple(tensor.shape)


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _listed(what: str, names: list[str]) -> list[str]:
    return [f"{what} {some(names)}"] if names else []


def _named(name: str, prefixes: Mapping[str, str], own: Mapping[str, Tensor]) -> str:
    """The name here of a tensor there."""
    name = name.removeprefix("module.")
    for theirs, ours in prefixes.items():
        if name == theirs or name.startswith(theirs + "."):
            name = ours + name[len(theirs) :]
            break
    before, _, last = name.rpartition(".")
    for old in (SPECTRAL, WEIGHT):
        changed = f"{before}.{old[last]}" if before and last in old else old.get(last, "")
        if changed in own:
            return changed
    return name
