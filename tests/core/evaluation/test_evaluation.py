"""What evaluators see, when they are due, and that what they cannot score is refused before training."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from ganrun.data.reader import InMemory
from ganrun.errors import UserError
from ganrun.evaluation.evaluation import Evaluation
from ganrun.evaluation.sources import Stored
from ganrun.training.build import RefusedError
from ganrun.training.scoring import due, evaluate
from ganrun.words.game import Description
from ganrun.words.hooks import hookimpl
from ganrun.words.spaces import Reason, Refusal, Space

CYCLE = "cyclegan"
CYCLE_NETWORKS = {
    "generator": {"resnet-translator": {"width": 2, "blocks": 1}},
    "discriminator": {"patchgan": {"width": 2, "layers": 1}},
    "evaluators": [],
}


class Counting:
    """Scores the number of samples it was given, and counts its calls."""

    def __init__(self, *, value: float = 1.0) -> None:
        self.value = value

    def evaluate(self, evaluation):
        return {"value": self.value, "samples": len(evaluation.fakes())}


@pytest.fixture
def counting(tiny, make_run):
    def make(*evaluators, **changes):
        return make_run(tiny(evaluators=list(evaluators), **changes), {"evaluator.counting": Counting})

    return make


def test_evaluators_are_due_at_their_interval_and_at_the_end(counting):
    run = counting({"counting": {"every": 5}}, {"counting": {"value": 2.0}})
    seen = {}
    for run.step in range(1, 21):
        seen[run.step] = [name for name, _, _ in due(run)]
    assert {step for step, names in seen.items() if "counting" in names} == {5, 10, 15, 20}
    assert {step for step, names in seen.items() if "counting-2" in names} == {20}


def test_the_second_evaluator_of_a_name_has_a_name_of_its_own(counting):
    run = counting("counting", {"counting": {"value": 2.0}})
    run.step = run.steps
    scores = evaluate(run)
    assert (scores["counting.value"], scores["counting-2.value"]) == (1.0, 2.0)


def test_as_many_fakes_as_test_samples_unless_the_recipe_says_how_many(counting):
    run = counting("counting", {"counting": {"samples": 37}})
    run.step = run.steps
    scores = evaluate(run)
    assert (scores["counting.samples"], scores["counting-2.samples"]) == (512, 37)


def test_fakes_are_the_same_each_time_until_forgotten_and_training_is_untouched(counting):
    run = counting("counting")
    before = torch.get_rng_state()
    first = run.evaluation.fakes(n=16)
    assert torch.equal(run.evaluation.fakes(n=16), first)
    run.evaluation.forget_fakes()
    assert torch.equal(run.evaluation.fakes(n=16), first)
    assert first.shape == (16, 2)
    with torch.no_grad():
        for parameter in run.engine.modules["generator"].parameters():
            parameter.add_(1)
    run.evaluation.forget_fakes()
    assert not torch.equal(run.evaluation.fakes(n=16), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert run.engine.modules["generator"].training


def test_real_samples_are_the_first_of_one_keyed_order_for_every_request(counting):
    evaluation = counting().evaluation
    every, labels = evaluation.real("x", "test"), evaluation.labels(n=40)
    rows = torch.from_numpy(evaluation.rows("test", range(512)))
    assert sorted(rows.tolist()) == list(range(512))
    assert torch.equal(every, evaluation.dataset("test").tensors["x"][rows])
    assert torch.equal(evaluation.real("x", "test", 10), every[:10])
    assert torch.equal(evaluation.items("test", [30, 2])["x"], every[[30, 2]])
    assert torch.equal(labels, evaluation.dataset("test").tensors["label"][rows[:40]])
    assert len(evaluation.real("x", "train")) == 512


class ClassAfterClass(InMemory):
    """400 items around 0, then 400 around 10; read in this order only if it says so."""

    def __init__(self, files, split, *, order: str = "shuffled") -> None:
        self.order = order
        x = torch.randn(800, 2, generator=torch.Generator().manual_seed(len(split)))
        x[400:] += 10
        super().__init__({"x": x}, {"x": Space("points", (2,))}, [])


@pytest.mark.parametrize(("order", "mean"), [("shuffled", 5.0), ("sequential", 0.0)])
def test_a_few_real_samples_are_a_fair_draw_of_data_in_the_order_of_their_classes(tiny, make_run, order, mean):
    """100 of 800: the mean of both classes within 3.6 standard errors. Sequential data have to be mixed."""
    recipe = tiny(dataset={"sorted": {"order": order}})
    run = make_run(recipe, {"dataset.sorted": ClassAfterClass})
    assert float(run.evaluation.real("x", "test", 100).mean()) == pytest.approx(mean, abs=1.8)
    assert float(run.evaluation.real("x", "train", 100).mean()) == pytest.approx(mean, abs=1.8)


def test_samples_of_a_folder_are_a_fair_draw_that_goes_with_the_real_ones(tmp_path):
    """Two stored sets of as many items come row by row, whatever their order."""
    data = ClassAfterClass(None, "test")
    evaluation = Evaluation(Stored(data, "here"), lambda split: data, tmp_path)
    made, real = evaluation.fakes(n=100), evaluation.real(n=100)
    assert torch.equal(made, real)
    assert float(made.mean()) == pytest.approx(5.0, abs=1.8)


class Pairs(InMemory):
    """Images a and b of one grey: item i has the level i; its hidden pairs are all of them."""

    provides = frozenset({"hidden-pairs"})

    def __init__(self, files, split) -> None:
        x = torch.arange(200, dtype=torch.uint8).view(200, 1, 1, 1).repeat(1, 1, 8, 8)
        super().__init__({"a": x, "b": x}, dict.fromkeys("ab", Space("image", (1, 8, 8))), [])

    def hidden_pairs(self):
        return {**self.tensors, "label": torch.arange(200)}


def test_a_few_hidden_pairs_are_a_fair_draw_row_by_row(tiny, make_run):
    evaluation = make_run(tiny(dataset="levels", variant=CYCLE, **CYCLE_NETWORKS), {"dataset.levels": Pairs}).evaluation
    found = evaluation.hidden_pairs(50)
    levels = ((found["a"][:, 0, 0, 0] + 1) * 127.5).round()
    assert torch.equal(levels, found["label"].float())
    assert float(levels.mean()) == pytest.approx(99.5, abs=30), "the first 50 have a mean of 24.5"
    assert evaluation.requested.real["test"] == {
        "samples": 50,
        "of": 200,
        "data": evaluation.dataset("test").fingerprint(),
    }
    assert len(evaluation.hidden_pairs()["a"]) == 200


def test_translations_are_made_of_the_real_samples_of_their_rows(tiny, make_run):
    """A generator that is the identity: fakes of b are the real a of the same rows, and it is said of how many."""
    run = make_run(tiny(dataset="levels", variant=CYCLE, **CYCLE_NETWORKS), {"dataset.levels": Pairs})
    evaluation = run.evaluation
    evaluation.samples = 30
    run.engine.variant.make = lambda turn: turn.made.update({"a": turn.real["b"], "b": turn.real["a"]})
    assert torch.equal(evaluation.fakes("b"), evaluation.real("a", n=30))
    assert evaluation.requested.made_from() == {"samples": 30, "of": 200}


def test_features_are_made_once_for_all_evaluators(tiny, make_run):
    calls = []

    class Slow:
        size = 2

        def __init__(self, context):
            assert (context.name, context.space.shape, len(context.data)) == ("x", (2,), 512)

        def __call__(self, x):
            calls.append(len(x))
            return x.flatten(1)

        def fingerprint(self):
            return "slow"

    evaluators = [
        {"frechet-distance": {"features": "slow"}},
        {"frechet-distance": {"features": "slow", "real_against_real": "halves"}},
    ]
    run = make_run(tiny(evaluators=evaluators), {"features.slow": Slow})
    run.step = run.steps
    evaluate(run)
    assert sum(calls) == 2 * 512, "real and fake once each"
    run.evaluation.forget_fakes()
    evaluate(run)
    assert sum(calls) == 3 * 512, "real ones are kept"


def test_an_evaluators_needs_are_refused_before_training_by_name(tiny, make_run):
    class Needy(Counting):
        needs = {"levitation": Reason("it measures height", "buy a balloon")}

    with pytest.raises(RefusedError, match=r"evaluator needy: it measures height\n +instead: buy a balloon"):
        make_run(tiny(evaluators=["needy"]), {"evaluator.needy": Needy})


def test_an_evaluator_may_refuse_in_build(tiny, make_run):
    class Picky(Counting):
        @hookimpl
        def build(self, experiment):
            raise Refusal(f"it dislikes {experiment.description.outputs[0]}", "another one")

    with pytest.raises(RefusedError, match=r"evaluator picky: it dislikes x\n +instead: another one"):
        make_run(tiny(evaluators=["picky"]), {"evaluator.picky": Picky})


def test_evaluators_run_in_training_which_they_do_not_change(tiny, make_run):
    seen = []

    class Watch:
        @hookimpl
        def evaluate(self, run, scores):
            seen.append((run.step, scores))

    plugins = {"evaluator.counting": Counting, "observer.watch": Watch}
    run = make_run(tiny(evaluators=[{"counting": {"every": 10}}], observers=["watch"]), plugins)
    plain = make_run(tiny())
    run.train()
    plain.train()
    scores = {"counting.value": 1.0, "counting.samples": 512.0}
    assert seen == [(10, scores), (20, scores)]
    assert run.scores == scores
    same = zip(run.engine.modules["generator"].parameters(), plain.engine.modules["generator"].parameters())
    assert all(torch.equal(one, other) for one, other in same)


def test_weights_that_are_missing_are_told_before_the_first_step(tiny, tmp_path, plugin_module):
    from ganrun import api
    from ganrun.errors import UserError

    class Absent:
        size = 2

        def __init__(self, context):
            self.context = context

        def __call__(self, x):
            return x.flatten(1)

        def fingerprint(self):
            raise UserError("absent.pth is not there; fetch it")

    recipe = tiny(evaluators=[{"frechet-distance": {"features": "absent"}}], observers=["checkpoints"])
    with pytest.raises(UserError, match=r"absent\.pth"):
        api.run(recipe, output=tmp_path / "run", plugins=[plugin_module({"features.absent": Absent})])
    assert not list((tmp_path / "run" / "checkpoints").glob("step-*")), "nothing was trained"


def test_an_evaluator_that_fails_at_the_end_costs_no_training(tiny, tmp_path, plugin_module, state_of):
    from ganrun import api

    class Breaking:
        def evaluate(self, evaluation):
            raise RuntimeError("out of luck")

    recipe = tiny(evaluators=["breaking"], observers=["checkpoints"])
    with pytest.raises(RuntimeError, match="out of luck"):
        api.run(recipe, output=tmp_path / "run", plugins=[plugin_module({"evaluator.breaking": Breaking})])
    assert state_of(tmp_path / "run")[0]["step"] == 20


class OfOneEntry:
    """A feature extractor that is another one for each entry of the data."""

    def __init__(self, context):
        self.context = context

    def fingerprint(self):
        return f"of {self.context.name}"

    @property
    def called(self):
        return {"distance": f"distance of {self.context.name}"}


@pytest.fixture
def of_two_entries(tmp_path):
    """A function: dataset -> an evaluation of samples of the entries a and b, and a part that makes ``OfOneEntry``."""
    image = Space("image", (1, 4, 4))

    def make(dataset, source=None):
        made = source or SimpleNamespace(
            description=Description({}, [], [], outputs=("a", "b")),
            spaces={"a": image, "b": image},
            device=torch.device("cpu"),
            data={},
        )
        part = SimpleNamespace(name="own", parameters={}, make=OfOneEntry, as_recipe=lambda: {"own": {}})
        return Evaluation(made, dataset, tmp_path), part

    return make


def test_provenance_names_the_extractor_of_the_entry_that_was_scored(of_two_entries):
    evaluation, part = of_two_entries(lambda split: split)
    evaluation.features(part, "b")
    assert evaluation.called(part, "distance", "b") == "distance of b"
    assert {name: about["hash"] for name, about in evaluation.requested.features.items()} == {"own of b": "of b"}
    evaluation.features(part)
    assert evaluation.requested.features["own"]["hash"] == "of a"
    assert evaluation.requested.features["own of b"]["hash"] == "of b"


def test_extractors_learn_from_the_train_split_wherever_samples_lie(of_two_entries):
    """Statistics for `ganrun reference` are of stored samples, and have to come from the extractor that runs have."""
    held = InMemory({"a": torch.zeros(3, 1, 4, 4, dtype=torch.uint8)}, {"a": Space("image", (1, 4, 4))})

    def without_train(split):
        if split == "train":
            raise UserError("there is no train split")
        return split

    for dataset, learnt in ((lambda split: split, "train"), (without_train, "test")):
        evaluation, part = of_two_entries(dataset, Stored(held, "here", entry="a"))
        assert evaluation.features(part).context.data == learnt


def test_a_number_of_samples_needs_no_test_split(of_two_entries):
    def without_test(split):
        raise UserError("there is no test split")

    evaluation, _ = of_two_entries(without_test)
    evaluation.samples = 7
    assert evaluation.count() == 7
    evaluation.samples = None
    with pytest.raises(UserError, match="no test split"):
        evaluation.count()


def test_a_folder_that_cannot_be_written_costs_a_picture_and_no_score(of_two_entries, tmp_path):
    evaluation, _ = of_two_entries(lambda split: split)
    evaluation.folder, evaluation.evaluator = tmp_path / "file", "distance"
    evaluation.folder.write_text("no folder")
    with pytest.warns(UserWarning, match="cannot be written"):
        assert evaluation.draw("closest", Image.new("L", (2, 2))) is None


@pytest.mark.parametrize(("departs", "called"), [(False, "distance of a"), (True, "")])
def test_a_score_of_real_images_that_are_read_otherwise_has_no_name_of_the_field(of_two_entries, departs, called):
    data = InMemory({"a": torch.zeros(3, 1, 4, 4, dtype=torch.uint8)}, {"a": Space("image", (1, 4, 4))})
    data.departs, data.preparation = departs, "turned"
    evaluation, part = of_two_entries(lambda split: data)
    assert evaluation.called(part, "distance") == "distance of a", "nothing real was compared"
    evaluation.real("a")
    assert evaluation.called(part, "distance") == called
    assert evaluation.requested.preparation() == {"test": "turned"}
