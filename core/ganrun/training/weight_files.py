"""Files of weights, read as tensors alone: one that would run code when opened is refused.

A state dict that lies under ``state_dict`` or ``model`` in its file is found there.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun.errors import UserError, some

NESTED = ("state_dict", "model")  # keys under which files keep a state dict


def read_weights(path: Path) -> dict[str, Tensor]:
    """Name -> tensor of a file: .safetensors, or whatever torch saved of tensors alone.

    Raises:
        UserError: if it cannot be read so.
    """
    found = _read(path)
    for key in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found:
        raise UserError(f"{path} holds no state dict (names and their tensors)")
    inner = [key for key, value in found.items() if isinstance(value, Mapping)]
    if inner:
        cure = f"torch.save(torch.load({path.name!r}, weights_only=True)[{inner[0]!r}], NEW)"
        raise UserError(
            f"{path} holds no state dict, but several things: {some(found)}; save alone what is wanted: {cure}"
        )
    odd = [key for key, value in found.items() if not isinstance(value, Tensor)]
    if odd:
        raise UserError(f"{path} holds no state dict: {some(odd)} are no tensors; save `network.state_dict()` alone")
    if not all(isinstance(key, str) for key in found):
        raise UserError(
            f"{path} holds tensors under numbers or other keys, {some(found)}, where a state dict has names; "
            "save `network.state_dict()`"
        )
    return dict(found)


def _read(path: Path) -> Any:
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is no file of weights, but a folder, a pipe or a device")
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        if "global" not in str(error).lower():  # no name of a class or function in it: not pickled tensors at all
            raise UserError(
                f"{path} is no file of weights, perhaps a web page saved under that name; download it again"
            ) from error
        raise UserError(
            f"{path} holds more than tensors, and opening it would run code from it; "
            "where it was made, save `network.state_dict()` alone"
        ) from error
    except Exception as error:  # torch and safetensors have many ways to say that a file is none of theirs
        raise UserError(f"{path} is no file of weights: {' '.join(str(error).split())[:200]}") from error
