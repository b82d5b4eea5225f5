"""What ``ganrun inspect`` finds in a folder with one of each of 37 kinds of bad pictures, and how long it takes.

    python benchmarks/inspect_files.py --files 20000 --seed 0   # prints the table of RESULTS.md

The good pictures are JPEG files of 96 x 80, in five classes of train and test; the kinds are in ``_bad_pictures.py``.
A kind is found if the report names its file with the word that belongs to it. Good files that are named in a problem or
a warning are counted as false alarms. Where this runs as the superuser, for whom no file is locked, the command does
not have that right.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _bad_pictures import KINDS, Maker, picture

CLASSES = 5
ROOT = Path(__file__).resolve().parent.parent


def make_set(root: Path, files: int, seed: int) -> dict[str, Path]:
    """Good pictures and one of each kind. Kind -> its file."""
    draw = np.random.default_rng(seed)
    for number in range(files):
        split = "test" if number // CLASSES % 10 == 9 else "train"
        folder = root / split / f"class{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        picture(draw).save(folder / f"{number:06d}.jpg", quality=90)
    folder = root / "train" / "class0"
    (root / "test" / "class0").mkdir(exist_ok=True)
    twins = sorted(folder.iterdir())
    found = {}
    for place, (kind, (make, _)) in enumerate(KINDS.items()):
        found[kind] = make(Maker(folder, twins[place], seed * 1000 + place))
    return found


def as_a_user_of_its_own() -> None:
    """In a process that is about to start a program: the superuser keeps no right to read what is locked."""
    if os.geteuid() == 0:
        for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP


def command(data: Path, cache: Path, page: Path) -> tuple[dict[str, Any], float]:
    """Run the command: what it found, and seconds."""
    program = [sys.executable, "-m", "ganrun", "inspect", str(data), "--json", "-o", str(page)]
    settings = {
        **os.environ,
        "GANRUN_DATA": str(cache),
        "HOME": str(cache),
        "PYTHONPATH": f"{ROOT}/core:{ROOT}/plugins",
    }
    began = time.perf_counter()
    done = subprocess.run(
        program, env=settings, cwd=cache, capture_output=True, text=True, preexec_fn=as_a_user_of_its_own
    )
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout), took


def said(report: dict[str, Any]) -> list[tuple[str, str]]:
    """(Path in the folder, what is said of it) of everything that the report names."""
    lines = list(map(tuple, report["unreadable"]))
    for remark in report["remarks"]:
        title = remark["title"]
        lines.append((title.removesuffix(" is left out"), f"{title}: {remark['advice']}"))
        lines += [(name, f"{title}: {more}") for name, more in remark["files"]]
        # of doubles, the second column holds names, too
        lines += [(name, f"{title}: {first}") for first, more in remark["files"] for name in more.split(", ")]
    lines += [(example, f"{what}: {why}") for what, _, example, why in report["skipped"]]
    return lines


def rows(report: dict[str, Any], data: Path, kinds: dict[str, Path]) -> list[tuple[str, str]]:
    """Kind -> what was said of its file, empty if it was not found."""
    lines = said(report)
    found = []
    for kind, path in kinds.items():
        name, word = path.relative_to(data).as_posix(), KINDS[kind][1]
        hits = [what for where, what in lines if where == name and word in what]
        found.append((kind, min(hits, key=len) if hits else ""))
    return found


def false_alarms(report: dict[str, Any], kinds: dict[str, Path], data: Path) -> list[str]:
    """Good files that a problem or a warning names, but for those of which doubles were made."""
    bad = {path.relative_to(data).as_posix() for path in kinds.values()}
    named = {name for name, _ in report["unreadable"]}
    for remark in report["remarks"]:
        if remark["level"] != "note":
            # a double is named with the picture that it was made of
            doubles = [{name, *more.split(", ")} for name, more in remark["files"]]
            named |= {name for group in doubles if not group & bad for name in group if name.endswith(".jpg")}
    return sorted(named - bad)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--files", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--page", type=Path, help="keep the page here")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="ganrun-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        data, cache = place / "pictures", place / "cache"
        cache.mkdir()
        kinds = make_set(data, arguments.files, arguments.seed)
        report, first = command(data, cache, cache / "page.html")
        _, second = command(data, cache, cache / "page.html")
        if arguments.page:
            arguments.page.write_bytes((cache / "page.html").read_bytes())
        found = rows(report, data, kinds)
        alarms = false_alarms(report, kinds, data)
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        for kind in ("file that may not be read", "folder that may not be listed"):
            kinds[kind].chmod(0o755)
    print(f"{arguments.files:,} good files and {len(kinds)} kinds, seed {arguments.seed}")
    print(f"{first:.1f} s, and {second:.1f} s when the files are known")
    print(f"largest process {memory:,.0f} MB; found {sum(bool(what) for _, what in found)} of {len(found)}")
    print(f"false alarms: {len(alarms)} {', '.join(alarms[:5])}\n")
    print("| kind | what is said |\n|---|---|")
    for kind, what in found:
        print(f"| {kind} | {what or '**not found**'} |")


if __name__ == "__main__":
    main()
