"""How fast image files are read, beside torchvision's ImageFolder and DataLoader in one run, and what names take.

    python benchmarks/loader.py [--images 18000] [--workers 2] [--rounds 5] [--large 300] [--names 1000000]

Seeded JPEGs of 96 x 80 are resized to 64, and larger ones of 1024 x 768 too. The ways of reading take turns, round
after round; printed are the medians of images a second, their range, and ratios to torchvision with the same (bicubic)
filter. Its own default is bilinear, which costs less. Every way ends with a batch of floats in [-1, 1] in the main
process. Then names: a folder of hard links to one file is listed as paths and as one piece of memory, and worker
processes go through all of it.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from ganrun.data.image_files import find_pictures, list_pictures
from ganrun.data.reader import Reader
from ganrun.plugin.data import DataFiles
from ganrun_plugins.datasets.image_folder import ImageFolder

SIZE, BATCH = 64, 64
Step = Callable[[], object]


def make(folder: Path, count: int, width: int, height: int) -> None:
    """Seeded JPEGs, smooth with some noise, in ten folders."""
    for k in range(count):
        draw = np.random.default_rng([k, width])
        small = draw.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
        values = (smooth + draw.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)
        path = folder / str(k % 10) / f"{k:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path, quality=90)


def by_torchvision(folder: Path, workers: int, filtered: transforms.InterpolationMode) -> Step:
    """A function that reads one batch."""
    way = [transforms.Resize(SIZE, filtered), transforms.CenterCrop(SIZE), transforms.ToTensor()]
    images = datasets.ImageFolder(str(folder), transforms.Compose([*way, transforms.Normalize([0.5] * 3, [0.5] * 3)]))
    loader = DataLoader(images, BATCH, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=True)

    def batches() -> Iterator[object]:
        while True:
            yield from loader

    endless = batches()
    return lambda: next(endless)


def by_ganrun(folder: Path, workers: int, **parameters: bool) -> Step:
    """The same. How long the index and the first batch take is printed."""
    began = time.perf_counter()
    data = ImageFolder(DataFiles(folder, folder.parent / "cache"), "train", root=".", size=SIZE, **parameters)
    indexed = time.perf_counter()
    reader = Reader(data, ("benchmark",), batch_rows=BATCH, workers=workers)

    def step() -> object:
        found = reader.get(BATCH)
        reader.advance(BATCH)
        return found

    step()
    now = time.perf_counter()
    print(f"  {parameters or 'decoded'}: index {indexed - began:.2f} s, first batch {now - indexed:.3f} s after it")
    return step


def rates(folder: Path, workers: int, rounds: int, seconds: float) -> None:
    """Print a table: images a second by each way."""
    linear, cubic = transforms.InterpolationMode.BILINEAR, transforms.InterpolationMode.BICUBIC
    ways = {
        "torchvision, bicubic": by_torchvision(folder, workers, cubic),
        "torchvision, bilinear": by_torchvision(folder, workers, linear),
        "ganrun": by_ganrun(folder, workers),
        "ganrun, draft: true": by_ganrun(folder, workers, draft=True),
        "ganrun, cache: true": by_ganrun(folder, workers, cache=True),
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, step in ways.items():
            for _ in range(2 * workers + 2):  # what was read ahead while the others ran
                step()
            began, done = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                step()
                done += BATCH
            found[way].append(done / (time.perf_counter() - began))
    first = statistics.median(found["torchvision, bicubic"])
    print("\n| read by | images a second | range | ratio |\n|---|---|---|---|")
    for way, each in found.items():
        middle = statistics.median(each)
        print(f"| {way} | {middle:,.0f} | {min(each):,.0f} to {max(each):,.0f} | {middle / first:.2f} |")
    print()


def private_bytes() -> int:
    """Memory that this process shares with no other, in bytes."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Private_Clean"))) * 1024


def grown_in_worker(files: Sequence[Path]) -> int:
    """How much a forked process grows that goes through all files."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        before = private_bytes()
        for path in files:
            str(path)
        os.write(writing, str(private_bytes() - before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return int(os.read(reading, 64))


def list_names(folder: Path, what: str) -> None:
    """Print a row: seconds, and bytes a file, of listing a folder in a process that has done nothing else."""
    find = {"paths": find_pictures, "FileList": list_pictures}[what]
    before, began = private_bytes(), time.perf_counter()
    found = find(folder)
    took, after = time.perf_counter() - began, private_bytes()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    worker = grown_in_worker(found) / len(found)
    print(f"| {what} | {took:.1f} | {(after - before) / len(found):.0f} | {worker:.0f} | {most / 1e6:,.0f} MB |")


def names(folder: Path, count: int) -> None:
    """Print a table: what ``count`` names of about 23 bytes take, as paths and in one piece."""
    for k in range(count):
        if k % 10_000 == 0:
            place = folder / f"class{k // 10_000:04}"
            place.mkdir(parents=True)
            source = place / "source.jpg"
            Image.new("RGB", (8, 8)).save(source)  # a file can have so many names only
        os.link(source, place / f"{k:09}.jpg")
    print(
        f"| {count:,} names | seconds | bytes a file | more in a worker | peak of the process |\n|---|---|---|---|---|"
    )
    sys.stdout.flush()
    for what in ("paths", "FileList"):
        subprocess.run([sys.executable, __file__, "--list", what, str(folder)], check=True)


def main() -> None:
    """Make the files, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=18_000)
    parser.add_argument("--large", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--list", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.list:
        list_names(Path(asked.list[1]), asked.list[0])
        return
    print(
        f"torch {torch.__version__}, {asked.workers} workers, batches of {BATCH}, {len(os.sched_getaffinity(0))} cores"
    )
    with tempfile.TemporaryDirectory() as name:
        if asked.names:
            names(Path(name) / "names", asked.names)
        for count, width, height in ((asked.images, 96, 80), (asked.large, 1024, 768)):
            if not count:
                continue
            folder = Path(name) / str(width) / "images"
            make(folder, count, width, height)
            print(f"\n{count:,} JPEGs of {width} x {height} resized to {SIZE}")
            rates(folder, asked.workers, asked.rounds, asked.seconds)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
