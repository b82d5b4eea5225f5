"""Weight initialisation by player: a setting of every run, not a trick."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def initialise(module: nn.Module, settings: Any) -> None:
    """Draw the weights of linear, convolution and embedding layers again, as ``players.NAME.init`` sets.

    ``normal``: N(0, gain); ``xavier``, ``kaiming``, ``orthogonal``: torch's, with gain (kaiming: fan-in, no gain).
    Biases become 0; the scale of an affine BatchNorm becomes N(1, gain) under ``normal`` (Radford et al. 2016), else 1.
    ``default``, or no settings, leaves torch's own initialisation. Draws from torch's global generator.
    """
    if settings is None or settings.scheme == "default":
        return
    schemes: dict[str, Callable[[Tensor], Tensor]] = {
        "normal": lambda weight: nn.init.normal_(weight, 0.0, settings.gain),
        "xavier": lambda weight: nn.init.xavier_normal_(weight, settings.gain),
        "kaiming": lambda weight: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),
        "orthogonal": lambda weight: nn.init.orthogonal_(weight, settings.gain),
    }
    draw = schemes[settings.scheme]
    for layer in module.modules():
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        if isinstance(layer, nn.Linear | nn.Embedding | nn.modules.conv._ConvNd) and weight is not None:
            draw(weight)
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm) and weight is not None:
            nn.init.normal_(weight, 1.0, settings.gain) if settings.scheme == "normal" else nn.init.ones_(weight)
        else:
            continue
        if bias is not None:
            nn.init.zeros_(bias)
