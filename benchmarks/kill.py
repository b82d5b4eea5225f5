"""Kills training at many moments, resumes it, and compares what it leaves with a run that was never killed.

    python benchmarks/kill.py [--kills 1000] [--only NAME ...] [--seed 0] [--out kills.jsonl]

A moment is either random (so many seconds after the start) or a numbered event of the file system (the process is gone
just before it opens a file to write, renames, links, makes or removes something for the n-th time). A run is killed and
resumed until it ends; then every tensor and every state of every checkpoint, every line of every JSON lines file (but
times and versions), every pixel of every picture and every value that TensorBoard shows are compared with a run of the
same recipe that was not killed. Half of the runs keep all checkpoints, half of them two.

The training processes are forked from one that has imported torch, so a kill costs a second. They are killed by
SIGKILL; of two processes one or both, and the other follows after five seconds if it has not ended by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from _kill_recipes import recipes
from _same_folder import differences

import ganrun
from ganrun.catalog.catalog import Catalog

LIMIT = 300.0  # seconds that a process may take
GRACE = 5.0  # seconds after which the others are killed when one of several processes was, as torchrun does it
WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}


@dataclass
class Tally:
    """What happened to the runs of one recipe."""

    kills: Counter[str] = field(default_factory=Counter)  # "random", "event" -> how often
    runs: int = 0  # that were killed, resumed and compared
    compared: Counter[str] = field(default_factory=Counter)  # tensors, lines, pictures, values
    wrong: list[str] = field(default_factory=list)


# --- one process ------------------------------------------------------------------------------------------------


def count_events(seen: list[int], last: int) -> None:
    """Count this process's changes of the file system in ``seen[0]``; die just before number ``last`` (0: never)."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in WRITES or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            seen[0] += 1
            if seen[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def start(recipe: dict[str, Any], folder: Path, log: Path, *, last: int = 0, environment: dict[str, str]) -> int:
    """Fork a process that trains, or resumes, a recipe in a folder. Returns its id. It exits with 0 at the end."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.update(environment)
        seen = [0]
        count_events(seen, last)
        run = ganrun.run(recipe, output=folder, resume=(folder / "recipe.yaml").exists())
        code = 0 if run.step == run.steps else 3
        log.with_suffix(".events").write_text(str(seen[0]))
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Life:
    """One run in one folder, by one or two processes, which may be killed and resumed."""

    def __init__(self, recipe: dict[str, Any], folder: Path, processes: int) -> None:
        self.recipe, self.folder, self.processes = recipe, folder, processes
        self.log = folder.with_suffix(".log")

    def attempt(self, *, after: float = 0.0, last: int = 0, ranks: tuple[int, ...] = (0,)) -> str:
        """Train until the end, or a kill after so many seconds or at event ``last``. "ended", "killed" or why not."""
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(self.processes)}
        several = address | {"ACCELERATE_USE_CPU": "true"} if self.processes > 1 else {}
        children = {}
        for rank in range(self.processes):
            environment = several | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if several else {})
            own = last if rank in ranks else 0
            children[rank] = start(self.recipe, self.folder, self.log, last=own, environment=environment)
        began, killed, codes = time.monotonic(), 0.0, dict[int, int]()
        while len(codes) < len(children):
            for rank, child in children.items():
                if rank not in codes and (ended := os.waitpid(child, os.WNOHANG))[0]:
                    codes[rank] = os.waitstatus_to_exitcode(ended[1])
            now = time.monotonic()
            if -signal.SIGKILL in codes.values() and not killed:
                killed = now
            if after and not killed and now - began > after:
                for rank in ranks:
                    if rank not in codes:
                        os.kill(children[rank], signal.SIGKILL)
                        killed = now
            if now - began > LIMIT or (killed and now - killed > GRACE):
                for rank in children.keys() - codes.keys():
                    os.kill(children[rank], signal.SIGKILL)
            if now - began > LIMIT:
                return f"{len(children) - len(codes)} process(es) did not end: {_tail(self.log)}"
            time.sleep(0.002)
        left = _left_behind(children.values())
        if left:
            return f"processes were left behind: {left}"
        if killed:
            return "killed"
        return "ended" if not any(codes.values()) else f"exit codes {sorted(codes.values())}: {_tail(self.log)}"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _tail(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-6:])


def _left_behind(leaders: Any) -> list[int]:
    """Processes of the sessions of these leaders that still are there after some seconds."""
    sessions, found = set(leaders), []
    for _ in range(200):
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) in sessions and fields[0] != "Z":
                found.append(int(stat.parent.name))
        if not found:
            return []
        time.sleep(0.05)
    return found


# --- many -------------------------------------------------------------------------------------------------------


def trouble(name: str, recipe: dict[str, Any], kills: int, draws: random.Random, work: Path) -> Tally:
    """Kill runs of one recipe so many times, and compare each of them at its end."""
    processes, tally = (2 if name == "2 processes" else 1), Tally()
    whole, seconds, events = {}, 0.0, 0
    for keep in (1000, 2):
        kept = recipe | {"checkpoint": recipe["checkpoint"] | {"keep": keep}}
        life = Life(kept, work / f"whole-{keep}", processes)
        began = time.monotonic()
        result = life.attempt()
        if result != "ended":
            tally.wrong.append(f"without a kill: {result}")
            return tally
        seconds, events = time.monotonic() - began, int(life.log.with_suffix(".events").read_text())
        whole[keep] = (kept, life.folder)
    while tally.kills.total() < kills and len(tally.wrong) < 5:
        keep = draws.choice(list(whole))
        kept, unbroken = whole[keep]
        life = Life(kept, work / f"killed-{tally.runs}", processes)
        result = "killed"
        for end in _moments(draws, seconds, events, processes):
            result = life.attempt(**end)
            if result != "killed":
                break
            tally.kills["event" if "last" in end else "random"] += 1
        result = life.attempt() if result == "killed" else result
        found = differences(unbroken, life.folder, tally.compared) if result == "ended" else [result]
        tally.wrong += [f"keep {keep}, run {tally.runs}: {text}" for text in found]
        tally.runs += 1
        if not found:
            shutil.rmtree(life.folder)
    return tally


def _moments(draws: random.Random, seconds: float, events: int, processes: int) -> Iterator[dict[str, Any]]:
    """From 1 to 12 moments at which to kill, for one run."""
    for _ in range(draws.randint(1, 12)):
        ranks = draws.choice([(0,), (1,), (0, 1)]) if processes > 1 else (0,)
        if draws.random() < 0.5:
            yield {"after": draws.uniform(0.01, 1.1 * seconds), "ranks": ranks}
        else:
            yield {"last": draws.randint(1, max(events, 1)), "ranks": ranks[:1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="recipes, by name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a file for a line of JSON a recipe")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    catalog = Catalog()
    for entry in catalog.entries():  # imported once, before any fork
        catalog.load(entry.kind, entry.name)
    failed = False
    with tempfile.TemporaryDirectory(prefix="ganrun-kill-") as place:
        os.environ["GANRUN_DATA"] = str(Path(place) / "data")
        found = recipes(Path(place) / "pictures")
        chosen = {name: recipe for name, recipe in found.items() if not options.only or name in options.only}
        for name, recipe in chosen.items():
            work = Path(place) / name.replace(" ", "-").replace(",", "")
            work.mkdir()
            began = time.monotonic()
            tally = trouble(
                name, recipe, -(-options.kills // len(chosen)), random.Random(f"{options.seed} {name}"), work
            )
            failed |= bool(tally.wrong)
            row = {"recipe": name, **tally.kills, "runs": tally.runs, **tally.compared, "wrong": tally.wrong}
            print(json.dumps(row | {"seconds": round(time.monotonic() - began)}), flush=True)
            if options.out:
                with options.out.open("a") as out:
                    out.write(json.dumps(row) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
