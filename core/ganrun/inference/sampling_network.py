"""One network of a trained run as ``ganrun sample`` uses it, as a plain module to go on with."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganrun.errors import UserError

if TYPE_CHECKING:
    from ganrun.inference.trained import Trained


def sampling_network(trained: Trained, name: str | None = None) -> nn.Module:
    """A copy of a network on the CPU: weights that sampling uses (averaged ones, if there are), in sampling's modes.

    Its parameters require no gradient. It takes what it took in training, such as latents (n, D) and labels (n,), and
    returns images in [-1, 1].

    name: a key of ``trained.experiment.modules``; by default the generator that makes ``trained.output``.

    Raises:
        UserError: for a name that is none of the networks', or if no network makes the output by itself.
    """
    with trained.settings(), trained.sample_maker.modules() as modules:
        wanted = made_by(trained) if name is None else name
        if wanted not in modules:
            raise UserError(f"{trained.folder}: there is no network {wanted!r}; there are {', '.join(modules)}")
        found: Any = modules[wanted]
        network: nn.Module = found.plain() if hasattr(found, "plain") else copy.deepcopy(found)
    return network.cpu().requires_grad_(False)


def made_by(trained: Trained) -> str:
    """The network whose output is the variant's: it is looked for in one sample.

    Raises UserError if there is none, as where the output is put together of several networks'.
    """
    returned: dict[str, Any] = {}
    maker = trained.sample_maker
    with maker.modules() as modules:
        handles = [
            module.register_forward_hook(lambda _, __, output, name=name: returned.update({name: output}))
            for name, module in modules.items()
        ]
        try:
            made = maker.one_made(modules, trained.blanks(1) if trained.experiment.description.conditional else None)
        finally:
            for handle in handles:
                handle.remove()
    image = made[trained.output]
    found = [name for name, output in returned.items() if _same(output, image)]
    if not found:
        raise UserError(
            f"{trained.folder}: no network makes {trained.output!r} by itself; name one of {', '.join(modules)}"
        )
    return found[-1]


def _same(output: Any, image: Tensor) -> bool:
    """Whether a network's output, or the first of several, is the image that the variant made."""
    first = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(first, Tensor) or first.shape != image.shape:
        return False
    return torch.equal(first.to(image.dtype), image)
