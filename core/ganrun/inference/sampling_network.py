"""One network of a trained run as ``ganrun sample`` uses it, as a plain module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganrun.errors import UserError
from ganrun.randomness import Draws
from ganrun.sampling.networks import plain
from ganrun.words.spaces import Space

if TYPE_CHECKING:
    from ganrun.inference.trained import Trained


def sampling_network(trained: Trained, name: str | None = None) -> nn.Module:
    """A copy of a network on the CPU: weights that sampling uses (averaged ones, if there are), in sampling's modes.

    Its parameters require no gradient, and weights that were computed from others, as spectral normalisation does, are
    plain parameters. It takes what it took in training, such as latents (n, D) and labels (n,), and returns images in
    [-1, 1]: on a CPU in float32 the bits of ``sample``. What a variant does around its network, such as the batches of
    pix2pix, is not in it, nor is the seed of a network's own noise. ``trained.sample_maker.weights()`` says what the
    weights are.

    name: a key of ``trained.experiment.modules``; by default the generator that makes ``trained.output``.

    Raises:
        UserError: for a name that is none of the networks', or if no network makes the output by itself.
    """
    with trained.settings(), trained.sample_maker.modules() as modules:
        wanted = made_by(trained) if name is None else name
        if wanted not in modules:
            raise UserError(f"{trained.folder}: there is no network {wanted!r}; there are {', '.join(modules)}")
        return plain(modules[wanted])


def made_by(trained: Trained) -> str:
    """The network that makes what the variant's output is. Where several could, one sample shows which does.

    Raises UserError if there is none.
    """
    experiment = trained.experiment
    space = experiment.dataset.spaces[trained.output]
    able = [
        name
        for name, network in experiment.description.networks.items()
        if experiment.is_generator(name) and network.interface.makes == space
    ]
    found = able if len(able) == 1 else _seen_to_make(trained)
    if not found:
        names = ", ".join(experiment.modules)
        raise UserError(f"{trained.folder}: no network makes {trained.output!r} by itself; name one of {names}")
    return found[-1]


def _seen_to_make(trained: Trained) -> list[str]:
    """The networks whose output, in one sample, is what the variant made."""
    returned: dict[str, Any] = {}
    maker, experiment = trained.sample_maker, trained.experiment
    draws = Draws(("which network",))  # not zeros: networks of new weights may make the same of them
    real = {name: _drawn(draws, name, space) for name, space in experiment.dataset.spaces.items()}
    with maker.modules() as modules:
        handles = [
            module.register_forward_hook(lambda _, __, output, name=name: returned.update({name: output}))
            for name, module in modules.items()
        ]
        try:
            made = maker.one_made(modules, real if experiment.description.conditional else None)
        finally:
            for handle in handles:
                handle.remove()
    return [name for name, output in returned.items() if _same(output, made[trained.output])]


def _drawn(draws: Draws, name: str, space: Space) -> Tensor:
    if space.kind == "labels":
        return draws.integers(name, space.classes, 1, *space.shape)
    return draws.uniform(name, 1, *space.shape)


def _same(output: Any, image: Tensor) -> bool:
    """Whether a network's output, or the first of several, is the image that the variant made."""
    first = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(first, Tensor) or first.shape != image.shape:
        return False
    return torch.equal(first.to(image.dtype), image)
