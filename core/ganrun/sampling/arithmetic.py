"""Latents as vectors: sums and directions of what several samples have in common.

Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional GANs" (2015), section 6.3:
single samples are unstable, so each concept is the mean latent of a few samples that show it; "smiling woman - neutral
woman + neutral man" makes smiling men, and the direction between faces that look left and faces that look right turns
other faces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ganrun.errors import UserError
from ganrun.randomness import seeded

Latents = dict[str, Tensor]
_MOST = 1_000_000  # the number of a sample is below: all latents up to it are drawn


class Concept(NamedTuple):
    """Samples by number whose latents are averaged, and the sign with which they enter a sum."""

    sign: int
    samples: tuple[int, ...]


def concepts(text: str) -> list[Concept]:
    """``3,7,9 - 1,4 + 0`` -> the concepts of a sum. Numbers are those of the samples, from 0, row by row in the grid.

    Raises:
        UserError: for anything else.
    """
    signed = text.strip() if text.strip().startswith(("+", "-")) else f"+ {text}"
    parts = re.findall(r"([+-])([^+-]*)", signed)
    found = [Concept(1 if sign == "+" else -1, numbers(samples, text)) for sign, samples in parts]
    if not found:
        raise UserError(f'"{text}": expected samples by number, such as "3,7,9 - 1,4 + 0"')
    return found


def direction(text: str) -> list[Concept]:
    """``3,7 > 1,4`` -> the sum that is the way from the first concept to the second.

    Raises UserError for anything else.
    """
    ends = text.split(">")
    if len(ends) != 2:
        raise UserError(f'"{text}": expected two groups of samples by number, such as "3,7 > 1,4"')
    first, last = (numbers(end, text) for end in ends)
    return [Concept(1, last), Concept(-1, first)]


def numbers(text: str, whole: str) -> tuple[int, ...]:
    """``3, 7,9`` -> (3, 7, 9). Raises UserError naming the whole text."""
    found = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in found):
        odd = next(part for part in found if not part.isdecimal())
        raise UserError(f'"{whole}": {odd!r} is no number of a sample; write them with commas, such as 3,7,9')
    if any(len(part) > len(str(_MOST)) or int(part) >= _MOST for part in found):
        raise UserError(f'"{whole}": samples are numbered from 0 to {_MOST - 1}')
    return tuple(map(int, found))


def mean(latents: Mapping[str, Tensor], concept: Concept) -> Latents:
    """The mean latent of a concept, (1, ...) each.

    Labels and codes that are whole numbers are those of its first sample.
    """
    rows = list(concept.samples)
    return {
        name: z[rows].mean(0, keepdim=True) if z.is_floating_point() else z[rows[:1]] for name, z in latents.items()
    }


def total(latents: Mapping[str, Tensor], terms: Sequence[Concept]) -> Latents:
    """The signed sum of the concepts' means, (1, ...) each; whole numbers are those of the first concept."""
    means = [mean(latents, term) for term in terms]
    return {
        name: torch.stack([term.sign * found[name] for term, found in zip(terms, means)]).sum(0)
        if z.is_floating_point()
        else means[0][name]
        for name, z in latents.items()
    }


def around(latents: Mapping[str, Tensor], n: int, scale: float, seed: int = 0) -> Latents:
    """One latent (1, ...) and n - 1 near it: + U(-scale, scale), as the paper shows its sums."""
    random = seeded(torch.Generator(), "around", seed)
    found = {}
    for name, z in latents.items():
        repeated = z.repeat(n, *[1] * (z.dim() - 1))
        if z.is_floating_point():
            noise = (2 * torch.rand(repeated.shape, generator=random) - 1).to(repeated)
            noise[0] = 0
            repeated = repeated + scale * noise
        found[name] = repeated
    return found


def along(latents: Mapping[str, Tensor], way: Mapping[str, Tensor], points: int) -> Latents:
    """Every latent (n, ...) moved from where it is by a whole way (1, ...), in ``points`` steps: (n * points, ...)."""
    share = torch.linspace(0, 1, points)
    found = {}
    for name, z in latents.items():
        repeated = z.repeat_interleave(points, 0)
        if z.is_floating_point():
            repeated = repeated + share.repeat(len(z)).to(z).view(-1, *[1] * (z.dim() - 1)) * way[name]
        found[name] = repeated
    return found
