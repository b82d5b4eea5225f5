"""Weights of other code, read into the same networks here.

Modules here stand in the order of the authors' code, so most names agree; a network whose names differ says which are
which (``reference_names``: their prefix -> ours). Three things are put right:

- ``module.`` in front of every name, from training on several GPUs;
- running statistics of instance normalisation, which older code kept and never used;
- ``weight_orig``, ``weight_u``, ``weight_v`` of torch's old spectral normalisation, and ``weight_g``, ``weight_v`` of
  its old weight normalisation, for networks that the recipe normalises so, too; and a weight as it is, for a network
  whose weights are divided by their norm here alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Fit:
    """What of a state dict fits a network: tensors by the names that they have in the network.

    reshaped: name -> (its shape in the state dict, its shape in the network). missing: what the network has alone.
    unused: what the state dict has alone.
    """

    tensors: dict[str, Tensor]
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    missing: list[str]
    unused: list[str]

    @property
    def is_whole(self) -> bool:
        """Whether every tensor of the network is there."""
        return not self.reshaped and not self.missing


def fit(state: Mapping[str, Tensor], module: nn.Module, where: str, *, overlap: bool = False) -> Fit:
    """What of a state dict, of other code or of a network with other parameters, fits a network.

    overlap: of a tensor of another shape and as many axes, the first rows, columns, ... that both have are taken; the
    rest is the network's own. ``where`` is what errors call it. Raises UserError if two tensors get one name.
    """
    own, kept = module.state_dict(), renamed(state, module, where)
    shapes = {name: (_shape(kept[name]), tuple(own[name].shape)) for name in own if name in kept}
    reshaped = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
    tensors = {name: kept[name] for name in shapes if name not in reshaped}
    for name, (there, here) in reshaped.items():
        if overlap and len(there) == len(here):
            both = tuple(slice(min(sizes)) for sizes in zip(there, here))
            tensors[name] = own[name].clone()
            tensors[name][both] = kept[name][both].to(own[name])
    missing, unused = ([n for n in some if n not in others] for some, others in ((own, kept), (kept, own)))
    return Fit(tensors, reshaped, missing, unused)


def fitted(state: Mapping[str, Tensor], module: nn.Module, where: str) -> dict[str, Tensor]:
    """A state dict of other code under the names that a network has here. ``where`` is what errors call it.

    Raises:
        UserError: with the names that are missing, too many, or of another shape.
    """
    own, kept = module.state_dict(), renamed(state, module, where)
    shapes = {name: (_shape(kept[name]), tuple(own[name].shape)) for name in kept if name in own}
    problems = [
        *_listed("it lacks", sorted(own.keys() - kept.keys())),
        *_listed("it has, and the network here has not,", sorted(kept.keys() - own.keys())),
        *_listed(
            "of another shape",
            [f"{name} {there} for {here}" for name, (there, here) in shapes.items() if there != here],
        ),
    ]
    if problems:
        cure = (
            "check the network's parameters in the recipe (width, blocks, norm, ...) against those it was trained with"
        )
        raise UserError(f"{where}: {'; '.join(problems)}; {cure}")
    check_weights(kept, module, where)
    return kept


def check_weights(tensors: Mapping[str, Tensor], module: nn.Module, where: str) -> None:
    """Raise UserError for a tensor of the right shape that cannot be the weight of its name, with a way out."""
    own = module.state_dict()
    for name, tensor in tensors.items():
        if wrong := _unfit(tensor, own[name]):
            raise UserError(f"{where}: {name} {wrong}")


def renamed(state: Mapping[str, Tensor], module: nn.Module, where: str) -> dict[str, Tensor]:
    """A state dict under the names that a network has here, without statistics that it does not keep.

    Raises UserError if two tensors get one name.
    """
    own = module.state_dict()
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        here = _named(name, getattr(module, "reference_names", {}), own)
        if here in found:
            raise UserError(f"{where}: it holds two tensors for {here}, one of them as {name}; leave one out")
        found[here] = tensor
    return {name: tensor for name, tensor in found.items() if name in own or name.rpartition(".")[2] not in STATISTICS}


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
    computed = ".".join(filter(None, (before, "parametrizations", last, "original")))
    if name not in own and computed in own:  # it is normalised here, and was not there
        return computed
    return name
