"""Plugins that an outside author could write with the front door alone: what the words for them have to stand."""

import ast
import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.randomness import Draws
from ganrun.recipe import load_recipe
from ganrun.sampling.turn import SamplingTurn
from ganrun.testing import parametrize_with_checks
from ganrun.testing.runs import first_difference, new_run, steps, weights
from ganrun.training import checkpoint
from ganrun.training.build import RefusedError
from ganrun.training.finite import NotFinite
from ganrun.training.start import train

HERE = Path(__file__).parent / "third_party" / "one_file"
CHECKED = ["trick.lookahead", "trick.ddls", "observer.mailbox", "observer.csv-log"]
FILES = sorted(HERE.glob("*.py"))


@parametrize_with_checks(CHECKED, modules=FILES)
def test_contract(plugin, check):
    check(plugin)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_plugins_of_one_file_import_the_front_door_alone(path):
    names = [node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    assert {name for name in names if name.startswith("ganrun")} <= {
        "ganrun.plugin",
        "ganrun.plugin.data",
        "ganrun.plugin.evaluation",
    }


@pytest.fixture
def loaded(tiny):
    """A function that loads a small recipe, in which these plugins are known."""

    def load(**parts):
        catalog = Catalog(modules=FILES)
        return load_recipe(tiny(**parts), catalog=catalog), catalog

    return load


# --- step_taken: lookahead --------------------------------------------------------------------------------------


def test_lookahead_goes_a_quarter_of_the_way_by_hand():
    """Slow 1, fast 3: 1 + (3 - 1) / 4 = 1.5, in both; and 2 + (6 - 2) / 4 = 3. Between the returns nothing happens."""
    trick = Catalog(modules=FILES).load("trick", "lookahead").factory(alpha=0.25, k=2)
    fast = torch.nn.Parameter(torch.tensor([3.0, 6.0]))
    trick.slow = {"both": [torch.tensor([1.0, 2.0])]}
    noted = {}
    for number, want in ((0, [3.0, 6.0]), (1, [1.5, 3.0])):
        trick.step_taken(SimpleNamespace(step=number, parameters={"both": [fast]}.get, note=noted.__setitem__))
        assert fast.tolist() == want
    assert trick.slow["both"][0].tolist() == [1.5, 3.0]
    assert noted == {"lookahead": 0.25}


def test_after_k_steps_all_players_are_half_way_between_start_and_end(loaded):
    plain, _ = loaded()
    recipe, catalog = loaded(tricks=[{"lookahead": {"alpha": 0.5, "k": 3}}])
    run, without = new_run(recipe, catalog), new_run(plain, catalog)
    start = weights(without)
    steps(run, 2)
    end = weights(steps(without, 2))
    assert not first_difference(end, weights(run)), "before the return it is the run without it"
    steps(run, 1)
    end = weights(steps(without, 1))
    half = {name: start[name].lerp(end[name], 0.5) for name in start}
    assert not first_difference(half, weights(run))


def test_what_a_step_ends_with_is_what_is_saved(loaded, tmp_path):
    recipe, catalog = loaded(
        tricks=[{"lookahead": {"k": 2}}],
        train={"steps": 4},
        checkpoint={"every": 2},
        without=["progress", "samples", "metrics-log", "health"],
    )
    train(recipe, catalog, tmp_path / "run")
    _, state = checkpoint.read(tmp_path / "run/checkpoints/step-0000002")
    slow = next(part["slow"] for part in state["components"][0].values() if "slow" in part)
    saved = {p.sum().item() for module in state["modules"].values() for p in module.values()}
    assert {p.sum().item() for kept in slow.values() for p in kept} == saved, "the weights saved are the slow ones"


def test_a_note_of_a_step_is_logged_and_kept_until_the_next(loaded):
    recipe, catalog = loaded(tricks=[{"lookahead": {"alpha": 0.5, "k": 2}}])
    run = new_run(recipe, catalog)
    assert "step/lookahead" not in steps(run, 1).metrics()
    assert steps(run, 1).metrics()["step/lookahead"] == 0.5


# --- finding: mailbox -------------------------------------------------------------------------------------------


def test_a_finding_of_health_becomes_a_letter(loaded, tmp_path):
    recipe, catalog = loaded(
        observers=["mailbox"],
        players={"generator": {"optimizer": {"sgd": {"lr": 1e38}}}},
        train={"steps": 3},
        without=["progress", "samples", "metrics-log", "checkpoints"],
    )
    with pytest.raises(NotFinite):
        train(recipe, catalog, tmp_path / "run")
    letter, last = sorted((tmp_path / "run/mailbox").iterdir())
    lines = letter.read_text().splitlines()
    assert (letter.name, last.name) == ("0001-exploding.txt", "0002-not-finite.txt")
    assert lines[0].endswith("step 1: exploding since step 1")
    assert "finite numbers" in lines[1]
    found = json.loads((tmp_path / "run/health.jsonl").read_text().splitlines()[0])
    assert lines[2] == f"may help: {', '.join(found['remedies'])}"


# --- an observer's own file: csv-log ----------------------------------------------------------------------------


def test_a_table_goes_on_after_a_resume(loaded, tmp_path):
    parts = {
        "observers": [{"csv-log": {"every": 2}}],
        "checkpoint": {"every": 4},
        "without": ["progress", "samples", "metrics-log", "health"],
    }
    recipe, catalog = loaded(**parts, train={"steps": 6})
    train(recipe, catalog, tmp_path / "run")
    (tmp_path / "run/terms.csv").open("a").write("8,from,a,killed,process\n")
    recipe, catalog = loaded(**parts, train={"steps": 8})
    train(recipe, catalog, tmp_path / "run", resume=True)
    rows = list(csv.reader((tmp_path / "run/terms.csv").open(newline="")))
    assert [row[0] for row in rows] == ["step", "2", "4", "6", "8"]
    assert all(float(cell) or True for row in rows[1:] for cell in row)
    assert len({len(row) for row in rows}) == 1


# --- outside training: ddls -------------------------------------------------------------------------------------


@pytest.fixture
def linear_run(loaded):
    """A function that builds a run whose samples are its latents, and whose logit is 3 x_0 + 1."""

    def make(**parts):
        linear = {"mlp": {"widths": [], "norm": "none"}}
        recipe, catalog = loaded(variant={"gan": {"latent": 2}}, generator=linear, discriminator=linear, **parts)
        run = new_run(recipe, catalog)
        generator, discriminator = (run.engine.modules[name] for name in ("generator", "discriminator"))
        with torch.no_grad():
            generator.output[0].weight.copy_(torch.eye(2))
            generator.output[0].bias.zero_()
            discriminator.output.weight.copy_(torch.tensor([[3.0, 0.0]]))
            discriminator.output.bias.fill_(1.0)
        return run

    return make


def test_two_langevin_steps_by_hand(linear_run):
    """E = |z|^2 / 2 - 3 z_0 - 1: every step is z + eps / 2 ((3, 0) - z) + sqrt(eps) n."""
    run, plain = linear_run(tricks=[{"ddls": {"steps": 2, "eps": 0.04}}]), linear_run()
    draws = Draws(("sampling", 7, 0), by_row=True)
    want = plain.sample_maker.latents(5, 7)["z"]
    for step in range(2):
        want = want + 0.02 * (torch.tensor([3.0, 0.0]) - want) + 0.2 * draws.normal(f"ddls {step}", 5, 2)
    assert torch.allclose(run.sample_maker.latents(5, 7)["z"], want, atol=1e-6)


def test_long_chains_are_of_the_density_of_the_energy(linear_run):
    """exp(-E) is the normal density around (3, 0): the mean of 2,000 is known to 0.07 at three standard errors."""
    run = linear_run(tricks=[{"ddls": {"steps": 100, "eps": 0.1}}])
    made = run.sample_maker.turn(2000).made["x"]
    assert torch.allclose(made.mean(0), torch.tensor([3.0, 0.0]), atol=0.1)
    assert torch.allclose(made.var(0), torch.ones(2), atol=0.12)


def test_a_chunk_of_a_process_is_that_of_the_whole(linear_run):
    """A sample does not depend on how many are asked for, nor on which process makes it; training is left alone."""
    run = linear_run(tricks=[{"ddls": {"steps": 3}}])
    run.sample_maker.chunk = 16
    whole = run.sample_maker.latents(50)["z"]
    assert torch.equal(run.sample_maker.latents(20)["z"], whole[:20])
    for part in range(2):
        for rows, turn in run.sample_maker.stream(50, part=part, parts=2):
            assert torch.equal(turn.latents["z"], whole[rows])
    assert all(p.grad is None for module in run.engine.modules.values() for p in module.parameters())


def test_of_a_process_only_its_own_chunks_are_scored(linear_run, monkeypatch):
    run = linear_run(tricks=[{"ddls": {"steps": 1}}])
    run.sample_maker.chunk, scored = 16, []
    total_score = SamplingTurn.total_score
    monkeypatch.setattr(
        SamplingTurn, "total_score", lambda turn, role: scored.append(turn.rows) or total_score(turn, role)
    )
    list(run.sample_maker.stream(50, part=1, parts=2))
    assert scored == [16, 2], "rows 16 to 32, and 48 to 50"


@pytest.mark.parametrize(
    "parts", [{"loss": "wasserstein"}, {"sampler": "uniform"}, {"tricks": [{"packing": {"m": 2}}, "ddls"]}]
)
def test_ddls_is_refused_where_its_energy_is_none(loaded, parts):
    recipe, catalog = loaded(**{"tricks": ["ddls"], **parts})
    with pytest.raises(RefusedError, match="trick ddls"):
        new_run(recipe, catalog)
