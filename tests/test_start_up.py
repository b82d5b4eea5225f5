"""What a command must not import: torch where it is not needed, torch's compiler, and large libraries without use."""

import subprocess
import sys
from pathlib import Path

import pytest

COMPILER = ("torch._dynamo", "torch._inductor", "sympy")  # takes as long to load as torch itself
UNUSED = (*COMPILER, "torchvision", "sklearn", "scipy")


def loaded_by(*arguments: str, cwd: Path) -> set[str]:
    """The modules that a command has imported when it ends; it has to end well."""
    code = (
        f"import sys\nfrom ganrun.cli import main\ntry:\n    main({list(arguments)!r})\n"
        "finally:\n    print('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


SLOW = [
    pytest.param(recipe, marks=pytest.mark.slow)
    for recipe in (
        "pix2pix_digits",
        "dragan_celeba",
        "infogan_digits",
        "progan_digits",
        "sngan_digits",
        "acgan_cifar10",
    )
]


@pytest.mark.parametrize("recipe", ["dcgan_digits", "r3gan_digits", *SLOW])
def test_check_loads_no_compiler_and_no_library_without_use(recipe: str, tmp_path: Path) -> None:
    assert not loaded_by("recipe", recipe, "--check", cwd=tmp_path).intersection(UNUSED)


@pytest.mark.slow
def test_a_run_and_its_samples_load_no_compiler_and_no_library_without_use(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    steps = ("--set", "train.steps=1", "--set", "without=[mode-coverage]")
    assert not loaded_by("recipe", "gan_ring", *steps, "--output", run, cwd=tmp_path).intersection(UNUSED)
    assert not loaded_by("sample", run, cwd=tmp_path).intersection(UNUSED)


def test_a_list_of_recipes_loads_no_torch_and_no_plugin(tmp_path: Path) -> None:
    assert not loaded_by("list-recipes", cwd=tmp_path).intersection({"torch", "numpy", "ganrun_plugins"})
