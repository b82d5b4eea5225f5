"""Runs that earlier versions left behind: they open, sample and resume, with the draws of then to the same end.

Up to commit 0166519 a generator was seeded with 32 bits of a key's hash, so a seed draws other numbers now. With
``earlier_draws`` everything else is compared with what it was, but for runs with a replay buffer: its slots are chosen
for the whole batch now, so they continue, and end elsewhere.

``tests/data/runs_COMMIT/NAME`` is the folder of a tiny run of 6 steps, as that commit left it after the third, but for
the names of the machine. ``NAME_expected.safetensors`` beside it is what the same commit made of it: ``samples`` and
``end_samples``, four samples of seed 0 before and after the last three steps, and ``end/MODULE/TENSOR``, the networks'
states after them. None of it is ever made again: a failing test here says that runs of today's users would not resume.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import ganrun

DATA = Path(__file__).parent / "data"
RUNS = sorted(path.parent for path in DATA.glob("runs_*/*/recipe.yaml"))
MIDDLE, END = 3, 6
SAMPLES = 1e-4  # between kinds of CPU, which round otherwise, 1e-6 was seen
MOVED = 0.01  # of the way that the last steps went. Seen: 4e-4

ALIKE = [path for path in RUNS if "replay-buffer" not in (path / "recipe.yaml").read_text(encoding="utf-8")]
each_run = pytest.mark.parametrize("folder", RUNS, ids=[f"{path.parent.name}-{path.name}" for path in RUNS])


def expected_of(folder: Path) -> dict[str, Tensor]:
    """What the run's own version made of it, by name."""
    return load_file(folder.with_name(f"{folder.name}_expected.safetensors"))


def states(modules: Mapping[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    """Copies of the networks' states, by name."""
    return {name: {key: t.clone() for key, t in module.state_dict().items()} for name, module in modules.items()}


def flat(state: dict[str, Tensor]) -> Tensor:
    """All numbers of a state that are not whole, in a row."""
    return torch.cat([state[key].flatten() for key in sorted(state) if state[key].is_floating_point()])


def assert_same_way(start: Tensor, end: Tensor, expected: Tensor) -> None:
    """The end lies where it was expected, by a small share of the way from the start."""
    assert expected.shape == end.shape
    way = (expected - start).norm()
    assert way > 0
    assert (end - expected).norm() <= MOVED * way


def test_a_run_of_each_earlier_recipe_is_there() -> None:
    names = {path.name for path in RUNS if path.parent.name == "runs_0166519"}
    assert names == {"dcgan", "cyclegan", "infogan", "progan"}


@each_run
@pytest.mark.usefixtures("earlier_draws")
def test_an_earlier_run_opens_and_makes_the_samples_that_it_made(folder: Path) -> None:
    trained = ganrun.load(folder, device="cpu")
    assert trained.step == MIDDLE
    samples, expected = trained.sample(4, seed=0), expected_of(folder)["samples"]
    assert expected.std() > 100 * SAMPLES, "they could not be told from others"
    torch.testing.assert_close(samples, expected, rtol=0, atol=SAMPLES)


@each_run
def test_an_earlier_run_goes_on_with_the_draws_of_today_and_says_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    start = states(ganrun.load(copy, device="cpu").experiment.modules)

    run = ganrun.run(copy, resume=True)

    assert (run.resumed_from, run.step) == (MIDDLE, END)
    assert "seeds drew other numbers" in capsys.readouterr().out
    for name, state in states(run.experiment.modules).items():
        assert torch.isfinite(flat(state)).all()
        assert not torch.equal(flat(state), flat(start[name]))
    ganrun.run(copy, resume=True)
    assert "seeds drew other numbers" not in capsys.readouterr().out, "said when the draws change, not ever after"
    trained = ganrun.load(copy, device="cpu")
    assert trained.step == END
    assert torch.equal(trained.sample(2, seed=0), trained.sample(4, seed=0)[:2])


@pytest.mark.parametrize("folder", ALIKE, ids=[f"{path.parent.name}-{path.name}" for path in ALIKE])
@pytest.mark.usefixtures("earlier_draws")
def test_an_earlier_run_resumes_and_ends_where_it_ended(folder: Path, tmp_path: Path) -> None:
    copy, expected = tmp_path / folder.name, expected_of(folder)
    shutil.copytree(folder, copy)
    start = states(ganrun.load(copy, device="cpu").experiment.modules)

    run = ganrun.run(copy, resume=True)

    assert (run.resumed_from, run.step) == (MIDDLE, END)
    end = states(run.experiment.modules)
    names = {f"end/{name}/{key}" for name, state in end.items() for key in state}
    assert names == {name for name in expected if name.startswith("end/")}
    for name, state in end.items():
        wanted = {key: expected[f"end/{name}/{key}"] for key in state}
        assert_same_way(flat(start[name]), flat(state), flat(wanted))
        assert all(torch.equal(state[key], wanted[key]) for key in state if not state[key].is_floating_point())
    # of what is averaged, replaced or trained: whatever samples are made with
    assert_same_way(expected["samples"], ganrun.load(copy, device="cpu").sample(4, seed=0), expected["end_samples"])
