"""The doctor in runs: when it checks, what it prints and does, and that it changes nothing."""

import json
import math

import pytest
import torch

from ganrun import api
from ganrun.training.build import RefusedError
from ganrun.training.finite import NotFinite
from ganrun.training.run import Run
from ganrun.words.game import DiscriminatorOutput
from ganrun.words.hooks import hookimpl
from ganrun.words.spaces import Refusal
from ganrun_plugins.observers import health as module
from ganrun_plugins.observers._findings import Check, Finding
from ganrun_plugins.observers._vitals import Bench
from ganrun_plugins.observers.health import Health

IMAGES = {
    "variant": {"dcgan": {"latent": 4}},
    "dataset": {"digits": {"size": 8}},
    "generator": {"dcgan": {"width": 4}},
    "discriminator": {"dcgan": {"width": 4}},
}


# --- runs -------------------------------------------------------------------------------------------------------


class Breaks:
    """A trick that makes the generator's weights infinite after a step, in the first attempt, or in all of them."""

    strength = ""

    def __init__(self, *, at: int, always: bool = False):
        self.at, self.always = at, always

    @hookimpl
    def updated(self, turn):
        if turn.step + 1 >= self.at and turn.player == "generator" and (self.always or turn._engine.attempt == 0):
            for parameter in turn.parameters("generator"):
                parameter.data.fill_(math.inf)


class Wipes:
    """Augmentation that leaves nothing."""

    strength = ""
    provides = frozenset({"augmented"})

    @hookimpl
    def augment(self, turn, call):
        call.x = call.x * 0


class Score:
    def evaluate(self, evaluation):
        return {"value": 1.0}


PLUGINS = {"trick.breaks": Breaks, "trick.wipes": Wipes, "evaluator.score": Score}


@pytest.fixture(autouse=True)
def remedies(monkeypatch):
    """Looking up remedies builds networks, which takes a second: only one test does it. Returns what it really is."""
    really = Run.remedies_for
    monkeypatch.setattr(Run, "remedies_for", lambda run, problem: ["one", "two", "three", "four", "five"])
    return really


@pytest.fixture
def train(tmp_path, tiny, plugin_module):
    def train(steps=10, folder="run", resume=False, **changes):
        parameters = {"every": 2, "samples": 8, **changes.pop("health", {})}
        settings = {"steps": steps, **changes.pop("train", {})}
        recipe = tiny(
            observers=["checkpoints", {"health": parameters}], train=settings, **{"checkpoint": {"every": 4}, **changes}
        )
        return api.run(recipe, output=tmp_path / folder, resume=resume, plugins=[plugin_module(PLUGINS)])

    return train


@pytest.fixture
def read(tmp_path):
    def read(folder="run"):
        path = tmp_path / folder / "health.jsonl"
        found = (
            [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
            if path.exists()
            else []
        )
        return [{key: value for key, value in line.items() if key != "time"} for line in found]

    return read


def doctor(run) -> Health:
    return next(observer for observer in run.experiment.observers if isinstance(observer, Health))


def was_checked(run) -> bool:
    """Whether nothing failed on the way."""
    return doctor(run)._bench is not None


def test_it_checks_on_its_stride_and_at_the_beginning(train):
    assert [check.step for check in doctor(train(steps=10, health={"every": 4})).history] == [1, 4, 8]
    assert [check.step for check in doctor(train(folder="other", steps=50, health={"every": 20})).history] == [
        1,
        2,
        20,
        40,
    ]


def test_by_default_it_checks_seldom_where_batches_are_small(train):
    """100 steps, but at least 25 training samples for each of the 8 of a check: 200 steps with batches of 1."""
    assert doctor(train(steps=2, health={"every": None}))._facts.every == 100
    assert doctor(train(folder="other", steps=2, health={"every": None}, train={"batch_size": 1}))._facts.every == 200


def test_a_check_holds_the_step_and_the_samples(train):
    check = doctor(train(steps=4)).history[-1]
    both = ("generator", "discriminator")
    wanted = {f"{quantity}:{player}" for quantity in ("gradient", "update", "weights", "broken") for player in both}
    wanted |= {f"{quantity}:adversarial" for quantity in ("auc", "margin", "pull", "gap", "memory")}
    wanted |= {
        f"{quantity}:x" for quantity in ("close10", "close25", "close50", "spread", "broken", "drift", "path0", "path1")
    }
    assert set(check.values) == wanted
    assert all(math.isfinite(value) for value in check.values.values())


def test_an_update_that_is_measured_is_the_one_that_was_made(train):
    """Plain descent with rate 0.1: |change| / |weights before| = 0.1 |gradient| / |weights before|, and the weights
    after are |w|.
    """
    sgd = {name: {"optimizer": {"sgd": {"lr": 0.1}}} for name in ("generator", "discriminator")}
    run = train(steps=1, players=sgd)
    values = doctor(run).history[0].values
    before = train(folder="still", steps=1, players={name: {"optimizer": {"sgd": {"lr": 0.0}}} for name in sgd})
    size = torch.cat([p.flatten() for p in before.engine.parameters["generator"]]).norm().item()
    assert values["update:generator"] == pytest.approx(0.1 * values["gradient:generator"] / size, rel=1e-4)
    assert doctor(before).history[0].values["update:generator"] == 0


PACKED = {**IMAGES, "tricks": [{"packing": {"m": 2}}, "ema", "ada"]}


AVERAGE = {"loss": "relativistic-average", "train": {"accumulate": 2}}
SLOPES = {"tricks": ["spectral-norm", {"r1": {"every": 2}}, "instance-noise"], "train": {"batches": "joint"}}


PRECISE = [{"train": {"precision": precision}} for precision in ("bfloat16", "float64")]


@pytest.mark.parametrize("changes", [{}, PACKED, AVERAGE, SLOPES, *PRECISE])
def test_health_changes_no_bit_of_training(train, tiny, changes, tmp_path):
    watched = train(steps=6, **changes)
    train_keys = {"steps": 6, **changes.get("train", {})}
    alone = api.run(
        tiny(train=train_keys, **{k: v for k, v in changes.items() if k != "train"}), output=tmp_path / "alone"
    )
    for name, network in alone.experiment.modules.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, watched.experiment.modules[name].state_dict()[key]), f"{name}.{key}"
    assert was_checked(watched)
    assert len(doctor(watched).history) == 4


def test_two_discriminators_that_see_pairs_of_domains_are_measured_apart(
    train, small_cyclegan, tmp_path, plugin_module
):
    recipe = small_cyclegan(observers=[{"health": {"every": 2, "samples": 8}}], train={"steps": 2})
    values = doctor(api.run(recipe, output=tmp_path / "run")).history[-1].values
    assert {"auc:a", "auc:b", "gap:a", "gap:b", "memory:a", "close10:a", "close10:b", "pull:a", "pull:b"} <= set(values)


def test_held_out_samples_score_lower_only_if_the_discriminator_knows_the_others(make_run, tiny):
    """A discriminator that scores by lookup: 1 for what it was trained on, 0 for others."""
    run = make_run(tiny())
    bench = Bench(run, 8)
    known = bench.train["x"]

    def lookup(x, *given):
        return DiscriminatorOutput((x[:, None] == known[None]).all(-1).any(1).float())

    network = run.engine.modules["discriminator"]
    network.forward = lookup
    values, _ = bench.check({})
    assert values["memory:adversarial"].item() == 1
    assert values["gap:adversarial"].item() == 1
    network.forward = lambda x, *given: DiscriminatorOutput((x.norm(dim=1) > 0.9).float())
    values, _ = bench.check({})
    assert values["memory:adversarial"].item() == 0.5
    assert values["gap:adversarial"].item() == 0


def test_a_data_set_without_samples_of_its_own_to_hold_out_has_no_gap(make_run, tiny):
    run = make_run(tiny())
    run.dataset = lambda split: run.experiment.dataset
    values, _ = Bench(run, 8).check({})
    assert not [name for name in values if name.startswith(("gap", "memory"))]
    assert "close10:x" in values


# --- what it says and does --------------------------------------------------------------------------------------


def test_a_finding_is_printed_once_written_and_shown(train, read, capsys):
    with pytest.raises(NotFinite):
        train(steps=10, tricks=[{"breaks": {"at": 5}}], checkpoint={"every": 100})
    printed = capsys.readouterr().out
    assert printed.count("health: exploding since step 6: not all samples are finite numbers\n") == 1
    assert "  try: one, two, three, four and 1 more; lower learning rates\n" in printed
    (line,) = read()
    assert (line["step"], line["since"], line["finding"], line["attempt"]) == (6, 6, "exploding", 0)
    assert line["remedies"] == ["one", "two", "three", "four", "five"]


def test_remedies_are_tricks_that_declare_the_problem_and_fit(train, read, monkeypatch, remedies):
    monkeypatch.setattr(Run, "remedies_for", remedies)
    with pytest.raises(NotFinite):
        train(steps=10, tricks=[{"breaks": {"at": 5}}], checkpoint={"every": 100})
    (line,) = read()
    assert {"gradient-clipping", "r1"} <= set(line["remedies"])
    assert "diff-augment" not in line["remedies"]


def test_what_went_away_is_written_and_stated_again_when_it_comes_back(train, read, monkeypatch, capsys):
    found = {4: 4, 6: 4, 10: 10}
    monkeypatch.setattr(
        module,
        "findings",
        lambda history, *rest: (
            [Finding("oscillation", "it turns", {"period": 3.0}, found[history[-1].step], 2)]
            if history[-1].step in found
            else []
        ),
    )
    run = train(steps=12)
    lines = [(line["step"], line.get("finding", ""), line.get("gone", "")) for line in read()]
    assert lines == [(4, "oscillation", ""), (8, "", "oscillation"), (10, "oscillation", ""), (12, "", "oscillation")]
    assert capsys.readouterr().out.count("health: oscillation") == 2
    assert run.notices == {}


def test_what_is_ignored_is_neither_said_nor_acted_on(train, read):
    with pytest.raises(NotFinite):  # by the run itself
        train(steps=10, tricks=[{"breaks": {"at": 5}}], health={"ignore": ["exploding"], "policy": "stop"})
    assert read() == []


def test_the_policy_stop_ends_the_run(train, read, capsys):
    with pytest.raises(NotFinite):
        train(steps=20, tricks=[{"breaks": {"at": 5}}], health={"policy": "stop"})
    (line,) = read()
    assert line["step"] == 6


def test_the_policy_rollback_goes_to_a_checkpoint_from_before_the_trouble(train, read, capsys):
    """It breaks at step 7 of the first attempt and is seen at 8; the last check that was well is that of 6, the
    checkpoint of 4.
    """
    run = train(steps=12, tricks=[{"breaks": {"at": 7}}], health={"policy": "rollback"})
    assert (run.step, run.attempt) == (12, 1)
    (back,) = run.rollbacks
    assert (back["from"], back["to"], back["reason"]) == (8, 4, "health: exploding")
    (line,) = read()
    assert (line["step"], line["attempt"], line["finding"], line["since"], line["from"]) == (4, 1, "exploding", 8, 8)
    assert line["rolled_back"] == "health: exploding"
    assert run.notices == {}
    assert [check.step for check in doctor(run).history] == [1, 2, 4, 6, 8, 10, 12]
    assert all(p.isfinite().all() for p in run.engine.parameters["generator"])


def test_rollbacks_are_bounded(train, read):
    """At step 8 of each attempt; the third time the run is stopped."""
    with pytest.raises(NotFinite):
        train(steps=12, tricks=[{"breaks": {"at": 7, "always": True}}], health={"policy": "rollback", "attempts": 2})
    assert [line["step"] for line in read()] == [4, 4, 8]


def test_without_a_checkpoint_from_before_it_the_run_is_stopped(train):
    with pytest.raises(NotFinite, match="step 4: .* of the player discriminator is nan"):
        train(steps=12, tricks=[{"breaks": {"at": 3}}], health={"policy": "rollback"})


def test_what_the_run_itself_finds_between_two_checks_is_gone_back_from(train, read):
    """Checks come every hundred steps; the checkpoint due at 8 is not written, and the run goes back to that of 4."""
    run = train(steps=12, tricks=[{"breaks": {"at": 7}}], health={"policy": "rollback", "every": 100})
    (back,) = run.rollbacks
    assert (run.step, back["from"], back["to"], back["reason"]) == (12, 8, 4, "health: not-finite")
    (line,) = read()
    assert (line["finding"], line["since"]) == ("not-finite", 8)


def test_augmentation_that_destroys_everything_is_found_in_a_run_and_not_rolled_back(train, read):
    run = train(steps=10, tricks=["wipes"], health={"policy": "rollback"})
    assert [(line["finding"], line["since"]) for line in read()] == [("dead-augmentation", 1)]
    assert run.rollbacks == []
    assert doctor(run).history[-1].values["kept:adversarial"] == 0


def test_a_plateau_of_a_chosen_score_ends_a_run(train, read):
    """Evaluated every second step, always 1: after step 2, three more do not better it, the third of them at step 8."""
    health = {"plateau": "score", "patience": 3, "policy": "stop", "ignore": ["exploding"]}
    run = train(steps=20, evaluators=[{"score": {"every": 2}}], health=health)
    assert run.step == 8
    assert [(line["finding"], line["since"]) for line in read()] == [("plateau", 4)]


def test_a_plateau_of_a_score_that_is_never_computed_is_refused(train):
    with pytest.raises(RefusedError, match="plateau of 'scores'"):
        train(steps=2, evaluators=["score"], health={"plateau": "scores"})


def test_minutes_are_refused_because_a_resumed_run_could_not_check_at_the_same_steps():
    with pytest.raises(Refusal, match="minutes"):
        Health(every="5 minutes")


def test_a_part_that_cannot_be_measured_ends_the_doctor_and_not_the_run(train, monkeypatch, capsys):
    def fail(self, before):
        raise RuntimeError("no latents")

    monkeypatch.setattr(Bench, "check", fail)
    run = train(steps=6)
    assert run.step == 6
    assert (
        capsys.readouterr().out.count(
            "health: measuring failed, so this run is not checked any more (RuntimeError: no latents)"
        )
        == 1
    )
    assert doctor(run).history == []


# --- state ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [5, 6, 7])
def test_a_resumed_run_finds_what_one_never_interrupted_finds(train, read, at):
    """Interrupted on a check, before and after one: the same history to the bit, the same lines, once each."""
    changes = {"tricks": ["wipes"], "health": {"ignore": ["exploding"]}}
    whole = train(steps=12, folder="whole", **changes)
    train(steps=at, checkpoint={"every": at}, **changes)
    resumed = train(steps=12, checkpoint={"every": at}, resume=True, **changes)
    assert doctor(resumed).history == doctor(whole).history
    assert read() == read("whole")
    assert resumed.notices == whole.notices


def test_lines_of_steps_that_are_taken_again_are_cut(train, read, tmp_path):
    train(steps=4)
    with (tmp_path / "run/health.jsonl").open("a") as file:
        file.write('{"step": 4, "finding": "kept"}\n{"step": 5, "finding": "later"}\n{"st')
    train(steps=6, resume=True)
    assert [line["finding"] for line in read()] == ["kept"]


def test_a_long_history_keeps_its_beginning_and_its_end(train, monkeypatch):
    monkeypatch.setattr(module, "FIRST", 3)
    monkeypatch.setattr(module, "LAST", 4)
    assert [check.step for check in doctor(train(steps=24)).history] == [1, 2, 4, 18, 20, 22, 24]


def test_state_tells_what_a_check_lacks_from_what_is_not_finite():
    one, other = Health(), Health()
    one.history = [Check(1, {"a": 1.0}), Check(2, {"a": math.nan, "b": math.inf})]
    one.active = {"exploding": Finding("exploding", "it does", {"b": 2.0}, 2, 1)}
    one._seen, one._turns = {"x": torch.ones(2)}, {"auc:g": torch.tensor(0.5)}
    other.load_state_dict(one.state_dict())
    assert other.history[0].values == {"a": 1.0}
    assert math.isnan(other.history[1].values["a"])
    assert other.history[1].values["b"] == math.inf
    assert other.active == one.active
    other.load_state_dict(Health().state_dict())
    assert (other.history, other.active) == ([], {})
