"""What the engine costs: its step rate against loops written by hand, events, random numbers, checkpoints, start-up.

    .venv/bin/python benchmarks/overhead.py [--blocks 12] [--threads 2]

Every ratio is of minima of interleaved blocks in one process. The best loop has the same networks, the data in
memory, a fused Adam and reuses its fakes; it must reach the same weights, bit for bit, from the same draws. The usual
loop reads PIL images through a DataLoader, uses a plain Adam and calls ``.item()`` in each step.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from ganrun.catalog.catalog import Catalog
from ganrun.randomness import Draws, seeded, stable_hash
from ganrun.recipe import load_recipe
from ganrun.training import checkpoint
from ganrun.training.build import event_manager
from ganrun.training.run import Run
from ganrun.words.hooks import hookimpl

BATCH = 64
QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints"]
ADAM = {"lr": 2e-4, "betas": (0.5, 0.999)}


def make_run(variant: str, width: int, **train: Any) -> Run:
    """A run of a variant on 32 x 32 digits, without observers and without a folder."""
    networks = {"dcgan": {"generator": {"dcgan": {"width": width}}, "discriminator": {"dcgan": {"width": width}}}}
    recipe = {
        "variant": variant,
        "dataset": {"digits": {"size": 32}},
        "without": QUIET,
        "train": {"batch_size": BATCH, "device": "cpu", **train},
    }
    catalog = Catalog()
    loaded = load_recipe({**recipe, **networks.get(variant, {})}, catalog=catalog)
    return Run(loaded, catalog)


class BestLoop:
    """The same training, written by hand as fast as we know how."""

    def __init__(self, run: Run, keyed: bool) -> None:
        self.generator, self.discriminator = run.engine.modules["generator"], run.engine.modules["discriminator"]
        self.adam_g = torch.optim.Adam(self.generator.parameters(), fused=True, **ADAM)
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), fused=True, **ADAM)
        self.weights = list(self.discriminator.parameters())
        self.keyed = keyed
        self.reader = run.experiment.reader("discriminator", BATCH)
        self.images = run.dataset("train").tensors["x"]  # type: ignore[attr-defined]
        self.ones, self.zeros = torch.ones(BATCH), torch.zeros(BATCH)
        self.order, self.place, self.done = torch.randperm(len(self.images)), 0, 0

    def inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The latents and the real batch of a step: the engine's own draws, or torch's."""
        if self.keyed:
            z = Draws((0, 0, self.done, "discriminator", 0)).normal("z", BATCH, 100)
            real = self.reader.get(BATCH)["x"]
            self.reader.advance(BATCH)
            return z, real
        if self.place + BATCH > len(self.order):
            self.order, self.place = torch.randperm(len(self.images)), 0
        real = self.images[self.order[self.place : self.place + BATCH]].div(127.5).sub_(1)
        self.place += BATCH
        return torch.randn(BATCH, 100), real

    def step(self) -> None:
        z, real = self.inputs()
        fake = self.generator(z)
        self.adam_d.zero_grad()
        bce, real_logits, fake_logits = (
            F.binary_cross_entropy_with_logits,
            self.discriminator(real).logits,
            self.discriminator(fake.detach()).logits,
        )
        (bce(real_logits, self.ones) + bce(fake_logits, self.zeros)).backward()
        self.adam_d.step()
        for weight in self.weights:
            weight.requires_grad_(False)
        self.adam_g.zero_grad()
        (-F.logsigmoid(self.discriminator(fake).logits)).mean().backward()
        self.adam_g.step()
        for weight in self.weights:
            weight.requires_grad_(True)
        self.done += 1


class Scans(Dataset[torch.Tensor]):
    """The digits as PIL images, transformed one by one: how a tutorial feeds a GAN."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = [transforms.functional.to_pil_image(image) for image in images]
        self.transform = transforms.Compose(
            [transforms.Resize(32), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        image: torch.Tensor = self.transform(self.images[index])
        return image


class UsualLoop(BestLoop):
    """The same networks, fed and updated as in a tutorial."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, keyed=False)
        self.adam_g = torch.optim.Adam(self.generator.parameters(), **ADAM)  # type: ignore[arg-type]
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), **ADAM)  # type: ignore[arg-type]
        self.loader = DataLoader(Scans(self.images), BATCH, shuffle=True, drop_last=True)
        self.batches = iter(self.loader)
        self.losses: list[float] = []

    def step(self) -> None:
        try:
            real = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            real = next(self.batches)
        fake = self.generator(torch.randn(BATCH, 100))
        self.adam_d.zero_grad()
        bce = F.binary_cross_entropy_with_logits
        real_logits, fake_logits = self.discriminator(real).logits, self.discriminator(fake.detach()).logits
        d_loss = bce(real_logits, torch.ones_like(real_logits)) + bce(fake_logits, torch.zeros_like(fake_logits))
        d_loss.backward()
        self.adam_d.step()
        self.adam_g.zero_grad()
        logits = self.discriminator(fake).logits
        g_loss = bce(logits, torch.ones_like(logits))
        g_loss.backward()
        self.adam_g.step()
        self.losses += [d_loss.item(), g_loss.item()]


class EngineLoop:
    """The engine itself."""

    def __init__(self, run: Run) -> None:
        self.run, self.done = run, 0

    def step(self) -> None:
        self.run.engine.step(self.done)
        self.done += 1


def rates(loops: dict[str, Any], blocks: int, steps: int) -> dict[str, float]:
    """Seconds a step of each loop: the minimum over interleaved blocks."""
    best = dict.fromkeys(loops, float("inf"))
    for block in range(blocks + 1):  # the first one warms up
        for name, loop in loops.items():
            start = time.perf_counter()
            for _ in range(steps):
                loop.step()
            if block:
                best[name] = min(best[name], (time.perf_counter() - start) / steps)
    return best


def formats() -> None:
    """DCGAN's seconds a step with channels_last and without."""
    loops = {str(last): EngineLoop(make_run("dcgan", 32, channels_last=last)) for last in (False, True)}
    seconds = rates(loops, 4, 10)
    print(
        f"dcgan (width 32), channels_last: {1000 * seconds['True']:.2f} ms a step, "
        f"contiguous {1000 * seconds['False']:.2f}"
    )


def compare(variant: str, width: int, blocks: int, steps: int) -> None:
    engine, hand = EngineLoop(make_run(variant, width)), BestLoop(make_run(variant, width), keyed=True)
    for _ in range(20):
        engine.step()
        hand.step()
    pairs = zip(engine.run.engine.modules.values(), (hand.generator, hand.discriminator))
    same = all(
        torch.equal(a, b) for one, two in pairs for a, b in zip(one.state_dict().values(), two.state_dict().values())
    )
    loops = {
        "engine": engine,
        "best": BestLoop(make_run(variant, width), keyed=False),
        "usual": UsualLoop(make_run(variant, width)),
    }
    seconds = rates(loops, blocks, steps)
    print(f"{variant} (width {width}): weights after 20 steps bit-identical to the loop by hand: {same}")
    print("  ms a step: " + ", ".join(f"{name} {1000 * value:.2f}" for name, value in seconds.items()))
    print(
        f"  rate of the engine / best loop {seconds['best'] / seconds['engine']:.3f}, / usual loop "
        f" {seconds['usual'] / seconds['engine']:.3f}"
    )


class Nothing:
    """A trick that hears every event of a turn and does nothing."""

    @hookimpl
    def phase_start(self, turn): ...  # type: ignore[no-untyped-def]

    sample = generated = losses = gradients = updated = phase_start

    @hookimpl
    def augment(self, turn, call): ...  # type: ignore[no-untyped-def]

    corrupt = pack = augment

    @hookimpl
    def discriminator_output(self, turn, call, output): ...  # type: ignore[no-untyped-def]

    @hookimpl
    def targets(self, turn, round): ...  # type: ignore[no-untyped-def]


def dispatch() -> None:
    """Seconds that the events of one GAN step take, with no trick and with five that hear every event."""
    for number in (0, 5):
        hooks = event_manager([Nothing() for _ in range(number)])

        def events(hooks: Any = hooks) -> None:
            for calls in (2, 1):
                for name in ("phase_start", "sample", "generated"):
                    getattr(hooks, name)(turn=None)
                for _ in range(calls):
                    for name in ("augment", "corrupt", "pack"):
                        getattr(hooks, name)(turn=None, call=None)
                    hooks.discriminator_output(turn=None, call=None, output=None)
                hooks.targets(turn=None, round=None)
                for name in ("losses", "gradients", "updated"):
                    getattr(hooks, name)(turn=None)

        print(f"dispatch of all events of a step with {number} tricks: {1e6 * fastest(events, 2000):.0f} microseconds")


def generators() -> None:
    """Seconds that a generator of a key takes, and those of torch's own seeds, which are 32 bits on a CPU."""
    key = (0, 0, 17, "discriminator", 0, "z", 0)
    ours = fastest(lambda: seeded(torch.Generator(), *key), 5000)
    torchs = fastest(lambda: torch.Generator().manual_seed(stable_hash(*key)), 5000)
    forward = fastest(lambda: seeded(torch.default_generator, 17), 5000)
    print(
        f"a generator of a key: {1e6 * ours:.1f} microseconds, with torch's manual_seed {1e6 * torchs:.1f}; "
        f"before each forward: {1e6 * forward:.1f}"
    )


def fastest(action: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeats):
            action()
        times.append((time.perf_counter() - start) / repeats)
    return min(times)


def checkpoints() -> None:
    run = make_run("dcgan", 32)
    run.engine.step(0)
    with tempfile.TemporaryDirectory() as folder:
        seconds = fastest(lambda: checkpoint.write(Path(folder), 1, run.state_dict()), 3)
        path = checkpoint.write(Path(folder), 1, run.state_dict())
        size = sum(file.stat().st_size for file in path.iterdir())
        read = fastest(lambda: checkpoint.read(path), 3)
    print(
        f"checkpoint of dcgan (width 32), {size / 1e6:.1f} MB: written in {1000 * seconds:.0f} ms, "
        f"read and verified in {1000 * read:.0f} ms"
    )


def start_up() -> None:
    commands = {
        "python -c 'import typer, rich, pluggy'": [sys.executable, "-c", "import typer, rich, pluggy"],
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
        "ganrun --version": [sys.executable, "-m", "ganrun", "--version"],
        "ganrun list-plugins": [sys.executable, "-m", "ganrun", "list-plugins"],
        "ganrun recipe dcgan_digits --check": [sys.executable, "-m", "ganrun", "recipe", "dcgan_digits", "--check"],
    }
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(5):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            best[name] = min(best[name], time.perf_counter() - start)
    for name, seconds in best.items():
        print(f"start-up: {name}: {seconds:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, batch {BATCH}, 32 x 32")
    compare("gan", 0, options.blocks, 40)
    compare("dcgan", 32, options.blocks, 10)
    formats()
    dispatch()
    generators()
    checkpoints()
    start_up()


if __name__ == "__main__":
    main()
