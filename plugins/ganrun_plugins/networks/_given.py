"""How the networks of this folder take what is given besides their input: conditions and labels.

Vectors and labels become further coordinates or constant planes; images become further channels. A label is one-hot,
and several yes-no attributes are a column of 0 and 1 each; ``_labels.py`` has other ways. In a packed discriminator the
given things of the joined samples are joined, too: images (B, m * C, H, W), labels (B, m).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganrun.plugin import Refusal, Space


def one_hot(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """Labels (B,) or (B, m) -> (B, m * classes), in the number format of ``like``."""
    labels = labels.reshape(labels.shape[0], -1, 1)  # (B, m, 1)
    return (labels == torch.arange(classes, device=labels.device)).flatten(1).to(like.dtype)


def label_columns(labels: Tensor, space: Space, like: Tensor) -> Tensor:
    """Labels (B,), (B, A), or those of m packed samples -> (B, m * columns): one-hot, yes-no attributes as 0 and 1."""
    if _attributes(space):
        return labels.flatten(1).to(like.dtype)
    return one_hot(labels, space.classes, like)


def _attributes(space: Space) -> bool:
    """Whether labels are several answers of yes or no."""
    return bool(space.shape) and space.classes == 2


def vector_size(spaces: Sequence[Space]) -> int:
    """How many numbers ``append_vectors`` adds to a sample."""
    labelled = (space.kind == "labels" and not _attributes(space) for space in spaces)
    return sum(space.size * (space.classes if labels else 1) for space, labels in zip(spaces, labelled))


def append_vectors(x: Tensor, given: Sequence[Tensor], spaces: Sequence[Space]) -> Tensor:
    """(B, ...) and everything given -> (B, D): labels as columns, all else flattened."""
    columns = [x.flatten(1)]
    for value, space in zip(given, spaces, strict=True):
        columns.append(label_columns(value, space, x) if space.kind == "labels" else value.flatten(1).to(x.dtype))
    return torch.cat(columns, 1) if len(columns) > 1 else columns[0]


def plane_count(spaces: Sequence[Space], side: Sequence[int], network: str) -> int:
    """How many channels ``append_planes`` adds to an image of height and width ``side``.

    Raises Refusal for images of another size.
    """
    for space in spaces:
        if space.kind == "image" and tuple(space.shape[1:]) != tuple(side):
            raise Refusal(
                f"{network} joins a given image to its input as channels, so both need one size; "
                f"it is given {space} beside an input of height and width {tuple(side)}",
                "resize the condition",
            )
    return sum(space.shape[0] if space.kind == "image" else vector_size([space]) for space in spaces)


def append_planes(x: Tensor, given: Sequence[Tensor], spaces: Sequence[Space]) -> Tensor:
    """(B, C, H, W) and everything given -> (B, C + planes, H, W): vectors and columns of labels as constant planes."""
    planes = [x]
    for value, space in zip(given, spaces, strict=True):
        if space.kind == "image":
            planes.append(value.to(x.dtype))
        else:
            vector = label_columns(value, space, x) if space.kind == "labels" else value.flatten(1).to(x.dtype)
            planes.append(vector[:, :, None, None].expand(-1, -1, *x.shape[2:]))
    return torch.cat(planes, 1) if len(planes) > 1 else x


def with_images_first(x: Tensor, given: Sequence[Tensor], spaces: Sequence[Space]) -> Tensor:
    """As ``append_planes``, but given images come before x: pix2pix has its condition first."""
    images = [value.to(x.dtype) for value, space in zip(given, spaces) if space.kind == "image"]
    others = [(value, space) for value, space in zip(given, spaces) if space.kind != "image"]
    h = append_planes(x, [value for value, _ in others], [space for _, space in others])
    return torch.cat([*images, h], 1) if images else h
