"""How long commands take to start, as multiples of `python -c 'import torch'`.

    python benchmarks/startup.py [--rounds 7] [--plugins 1000] [--recipes 1000] [--recipe dcgan_digits ...]

Commands are run in turn, round after round, and the fastest of each is compared: what else the machine does makes a
command slower, never faster. Printed: wall-clock seconds and their ratio, seconds of the processor and theirs, which
depend less on what else is running. With --plugins and --recipes it is done again with so many plugins installed, a
distribution each, and so many recipes shipped, in a copy of the package.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
TORCH = "python -c 'import torch'"
PLUGIN = '"""A loss that nobody uses."""\n\nraise RuntimeError("this plugin is listed, never imported")\n'


def seconds(command: list[str], environment: dict[str, str], folder: Path) -> tuple[float, float]:
    """How long a command takes, which has to end well: by the clock on the wall, and of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(recipes: list[str], folder: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    """What is measured -> the command and additions to its environment; `sample` reads the run of the step before."""
    ganrun = [str(Path(sys.executable).with_name("ganrun"))]
    run, one = str(folder / "run"), ["--set", "train.steps=1", "--set", "without=[mode-coverage]", "--overwrite"]
    completion = {"_GANRUN_COMPLETE": "complete_bash", "COMP_WORDS": "ganrun show loss.", "COMP_CWORD": "2"}
    found = {TORCH: ([sys.executable, "-c", "import torch"], {})}
    found |= {f"recipe {name} --check": ([*ganrun, "recipe", name, "--check"], {}) for name in recipes}
    found["recipe gan_ring, one step, saved"] = ([*ganrun, "recipe", "gan_ring", *one, "--output", run], {})
    found["sample RUN"] = ([*ganrun, "sample", run], {})
    found["show discriminator.dcgan"] = ([*ganrun, "show", "discriminator.dcgan"], {})
    for words in ("list-recipes", "list-plugins", "--help"):
        found[words] = ([*ganrun, words], {})
    found["completion of show loss."] = (ganrun, completion)
    return found


def measure(recipes: list[str], rounds: int, environment: dict[str, str]) -> None:
    """Print a line for each command: the fastest of some rounds, and its multiple of importing torch."""
    with tempfile.TemporaryDirectory() as name:
        folder, taken = Path(name), {}
        for _ in range(rounds):
            for what, (command, more) in commands(recipes, folder).items():
                taken.setdefault(what, []).append(seconds(command, environment | more, folder))
    fastest = {what: [min(column) for column in zip(*rows)] for what, rows in taken.items()}
    for what, (wall, processor) in fastest.items():
        of_wall, of_processor = wall / fastest[TORCH][0], processor / fastest[TORCH][1]
        print(f"{what:40} {wall:6.2f} s {of_wall:6.2f}    {processor:6.2f} s {of_processor:6.2f}", flush=True)


def crowded(folder: Path, plugins: int, recipes: int) -> dict[str, str]:
    """The environment of a copy of the package with more recipes, and more plugins installed beside it."""
    shutil.copytree(ROOT / "core", folder / "core")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    text = (ROOT / "recipes" / "gan_digits.yaml").read_text()
    for number in range(recipes):
        (folder / "recipes" / f"more_{number:05d}.yaml").write_text(text)
    site = folder / "site"
    for number in range(plugins):
        (site / f"more_{number}-1.0.dist-info").mkdir(parents=True)
        (site / f"more_{number}.py").write_text(PLUGIN)
        metadata = f"Metadata-Version: 2.1\nName: more-{number}\nVersion: 1.0\nRequires-Dist: ganrun\n"
        (site / f"more_{number}-1.0.dist-info" / "METADATA").write_text(metadata)
        points = f"[ganrun]\nloss.more-{number} = more_{number}\n"
        (site / f"more_{number}-1.0.dist-info" / "entry_points.txt").write_text(points)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (folder / "core", ROOT / "plugins", site)))}


def main() -> None:
    """Measure an ordinary installation, then a crowded one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--plugins", type=int, default=1000)
    parser.add_argument("--recipes", type=int, default=1000)
    parser.add_argument("--recipe", action="append", help="a recipe to check; can be repeated")
    wanted = parser.parse_args()
    recipes = wanted.recipe or ["dcgan_digits", "gan_ring", "r3gan_digits"]
    import torch

    print(f"torch {torch.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} CPUs")
    measure(recipes, wanted.rounds, dict(os.environ))
    if wanted.plugins or wanted.recipes:
        print(f"with {wanted.plugins} more plugins installed and {wanted.recipes} more recipes")
        with tempfile.TemporaryDirectory() as name:
            measure(recipes, wanted.rounds, crowded(Path(name), wanted.plugins, wanted.recipes))


if __name__ == "__main__":
    main()
