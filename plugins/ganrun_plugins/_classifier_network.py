"""The network of the features ``classifier``, its training, and its file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ganrun.plugin import seeded
from ganrun.plugin.data import written_whole
from ganrun_plugins._without_compiler import without_compiler

AdamW = without_compiler(torch.optim.AdamW)
Augment = Callable[[Tensor, torch.Generator], Tensor]
BATCH = 128
EVERY = 10.0  # seconds between two states of a training that are kept
ARCHITECTURE = "three 3x3 convolutions of 16, 32, 64; 2x2 mean; 64; version 1"
TRAINING = "AdamW 3e-3 cosine, batch 128, shifts of 2, noise 0.05, label smoothing 0.05; version 2"


class ClassifierNetwork(nn.Module):
    """Images (B, C, S, S) in [-1, 1] -> class logits (B, K).

    ``features`` are the 64 numbers of the last hidden layer.
    """

    size = 64

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.block1 = convolution(channels, 16)
        self.block2 = convolution(16, 32)
        self.block3 = convolution(32, 64)
        self.hidden = nn.Linear(64 * 4, self.size)
        self.output = nn.Linear(self.size, classes)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """(B, C, S, S) -> block1 (B, 16, S / 2, S / 2), block2 (B, 32, S / 4, S / 4), block3 (B, 64, S / 8, S / 8)."""
        found = {}
        for name in ("block1", "block2", "block3"):
            x = found[name] = self.get_submodule(name)(x)
        return found

    def features(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, 64)."""
        h = self.maps(x)["block3"]  # (B, 64, S / 8, S / 8)
        h = F.adaptive_avg_pool2d(h, 2).flatten(1)  # (B, 256)
        return F.leaky_relu(self.hidden(h), 0.1)  # (B, 64)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(self.features(x))
        return logits


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """3x3, normalised, and half as large."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1),
        nn.MaxPool2d(2),
    )


@contextmanager
def in_float32() -> Iterator[None]:
    """float32 is torch's default type for a while, whatever a run trains in, so that equal seeds give equal weights."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def new_network(channels: int, classes: int, seed: int) -> ClassifierNetwork:
    """A network with weights drawn from a seed. torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]), in_float32():
        seeded(torch.default_generator, "classifier", seed)
        return ClassifierNetwork(channels, classes)


def resized(x: Tensor, side: int) -> Tensor:
    """Images (B, C, H, W) in [-1, 1] -> (B, C, side, side) float32, rounded to the 256 levels of an image file.

    Gradients pass as if nothing had been rounded.
    """
    x = x.float()
    if x.shape[-2:] != (side, side):
        x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return to_float(to_bytes(x))


class Rounded(torch.autograd.Function):
    """Rounding whose gradient is 1, not 0.

    Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons", 2013.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def to_bytes(x: Tensor) -> Tensor:
    """[-1, 1] -> 0 to 255, still floats, so that what is not a number stays so.

    The gradient is that without rounding.
    """
    levels: Tensor = Rounded.apply(((x + 1) * 127.5).clamp(0, 255))
    return levels


def to_float(x: Tensor) -> Tensor:
    """0 to 255 -> [-1, 1] float32."""
    return x.float() / 127.5 - 1


def shifted(x: Tensor, generator: torch.Generator, most: int = 2) -> Tensor:
    """Each image (B, C, H, W) moved by up to ``most`` pixels, its border repeated, with a little noise."""
    batch, channels, height, width = x.shape
    padded = F.pad(x, (most,) * 4, mode="replicate")
    offset = torch.randint(2 * most + 1, (2, batch, 1), generator=generator)
    rows = (offset[0] + torch.arange(height)).to(x.device)  # (B, H)
    columns = (offset[1] + torch.arange(width)).to(x.device)  # (B, W)
    item = torch.arange(batch, device=x.device)[:, None, None, None]
    moved = padded[
        item, torch.arange(channels, device=x.device)[:, None, None], rows[:, None, :, None], columns[:, None, None, :]
    ]
    return moved + 0.05 * torch.randn(x.shape, generator=generator, dtype=torch.float32).to(x.device)


def fit(
    network: ClassifierNetwork,
    x: Tensor,
    label: Tensor,
    *,
    steps: int,
    seed: int,
    augment: Augment = shifted,
    report: Callable[[int], None] = lambda step: None,
    kept: Path | None = None,
) -> None:
    """Train in place on images (N, C, S, S) uint8 and labels (N,), and leave the network in evaluation mode.

    What is drawn depends on ``seed`` alone. ``report`` is called with the number of steps done after each. ``kept``: a
    file for what there is so far, written every few seconds, from which killed training continues as if it had
    not been; removed at the end.
    """
    generator = seeded(torch.Generator(), "classifier", seed)
    device = next(network.parameters()).device
    optimizer = AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    network.train()
    first = 0 if kept is None else _taken_up(kept, network, optimizer, generator)
    written = time.monotonic()
    with torch.enable_grad():
        for step in range(first, steps):
            for group in optimizer.param_groups:
                group["lr"] = 3e-3 * (1 + math.cos(math.pi * step / steps)) / 2
            rows = torch.randint(len(x), (BATCH,), generator=generator)
            logits = network(augment(to_float(x[rows]).to(device), generator))
            loss = F.cross_entropy(logits, label[rows].to(device), label_smoothing=0.05)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            report(step + 1)
            if kept is not None and time.monotonic() - written > EVERY:
                _keep(kept, step + 1, network, optimizer, generator)
                written = time.monotonic()
    if kept is not None:
        kept.unlink(missing_ok=True)
    network.eval()


def _keep(
    path: Path, step: int, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> None:
    """Write the state of a training after ``step`` steps."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for number, entries in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in entries.items()}
    _written(path, {**tensors, "generator": generator.get_state()}, {"step": str(step)})


def _taken_up(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> int:
    """Put back what was kept. Returns the steps done; 0 if there is nothing that can be read."""
    try:
        step, tensors = int(metadata_of(path).get("step", 0)), load_file(path)
        own = {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, number, entry = name.split(".")
                state.setdefault(int(number), {})[entry] = tensor
        network.load_state_dict(own)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        generator.set_state(tensors["generator"])
    except (SafetensorError, OSError, RuntimeError, KeyError, ValueError):
        return 0
    return step


def seconds_a_step(channels: int, classes: int, side: int, device: torch.device) -> float:
    """How long a step of :func:`fit` takes here, measured in one, after another."""
    network = new_network(channels, classes, 0).to(device)
    x = torch.zeros(BATCH, channels, side, side, dtype=torch.uint8)
    label = torch.zeros(BATCH, dtype=torch.int64)
    took = 0.0
    for _ in range(2):
        began = time.perf_counter()
        fit(network, x, label, steps=1, seed=0)
        weights_of(network)  # waits for the device
        took = time.perf_counter() - began
    return took


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Everything that decides the features, sorted by name (not how many batches BatchNorm has seen)."""
    state = network.state_dict()
    return {name: state[name].detach().cpu().contiguous() for name in sorted(state) if "num_batches" not in name}


def save(network: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
    """Write the weights to a file, atomically."""
    _written(path, weights_of(network), metadata)


def _written(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with written_whole(path) as unfinished:
        save_file(tensors, unfinished, dict(metadata))


def metadata_of(path: Path) -> dict[str, str]:
    """The metadata of a file; empty if it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}


def load(path: Path, channels: int, classes: int) -> ClassifierNetwork | None:
    """The network of a file, in evaluation mode, or None if the file is missing or incomplete."""
    network = new_network(channels, classes, 0)
    try:
        missing, surplus = network.load_state_dict(load_file(path), strict=False)
    except (SafetensorError, OSError, RuntimeError):
        return None
    if surplus or any("num_batches" not in name for name in missing):
        return None
    return network.eval()
