"""Fixtures that several tests share: tiny experiments, from recipes given as dicts."""

from types import ModuleType

import pytest
import torch

from ganrun import randomness
from ganrun.catalog.catalog import Catalog
from ganrun.engine import engine
from ganrun.randomness import stable_hash
from ganrun.recipe import load_recipe
from ganrun.words.hooks import Component, hookimpl

# The longest contract checks of the built-in plugins. The quick tier keeps check_resumes, which fails, too, if two runs
# of one recipe differ.
IN_THE_SLOW_TIER = ("check_same_seed_same_bits", "check_resumes_late", "check_two_instances_work")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Those checks become slow before markers choose."""
    for item in items:
        if item.name.startswith("test_contract[") and item.name.endswith(
            tuple(f"-{check}]" for check in IN_THE_SLOW_TIER)
        ):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch, tmp_path_factory):
    """One thread, so that sums round alike in every test; and no test writes the user's cache folder."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for the processes that tests start
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path_factory.getbasetemp() / "data"))
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """On a busy machine, too, nothing is said of what takes long, unless a test is about that."""
    monkeypatch.setattr("ganrun.progress.SOON", 600.0)


@pytest.fixture
def earlier_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generators are seeded as they were up to commit 0166519."""

    def by_torch(generator: torch.Generator, *key: object) -> torch.Generator:
        return generator.manual_seed(stable_hash(*key))

    def before_a_forward(generator: torch.Generator, seed: int) -> torch.Generator:
        return generator.manual_seed(seed)

    monkeypatch.setattr(randomness, "seeded", by_torch)
    monkeypatch.setattr(engine, "seeded", before_a_forward)


@pytest.fixture
def plugin_module():
    """A function that makes an uninstalled plugin module of ``{"kind.name": factory}``."""

    def make(**named):
        module = ModuleType("test_plugins")
        module.__doc__ = "Plugins of a test."

        def ganrun_components():
            for qualified, factory in named.items():
                kind, _, name = qualified.partition(".")
                yield Component(kind, name, factory)

        module.ganrun_components = hookimpl(ganrun_components)
        return module

    return lambda components: make(**components)


@pytest.fixture
def tiny():
    """The recipe of a GAN on points with two small perceptrons: a few milliseconds a step."""

    def recipe(**changes):
        small = {"mlp": {"widths": [16, 16], "norm": "none"}}
        base = {
            "variant": {"gan": {"latent": 4}},
            "dataset": {"ring": {"count": 512}},
            "generator": small,
            "discriminator": small,
            "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
            "train": {"steps": 20, "batch_size": 8, "device": "cpu"},
        }
        train = {**base["train"], **changes.pop("train", {})}
        return {**base, **changes, "train": train}

    return recipe


@pytest.fixture
def make_run(plugin_module):
    """A function that builds the run of a recipe (a dict), with uninstalled plugins, without a folder."""
    from ganrun.training.run import Run

    def make(recipe, plugins=None):
        catalog = Catalog(modules=[plugin_module(plugins)] if plugins else [])
        loaded = load_recipe(recipe, catalog=catalog)
        return Run(loaded, catalog)

    return make


@pytest.fixture
def with_all_tricks():
    """The recipe of a small DCGAN with all five tricks, each of them doing something from the first steps on."""

    def recipe(**changes):
        base = {
            "variant": "dcgan",
            "dataset": {"digits": {"size": 16}},
            "generator": {"dcgan": {"width": 4}},
            "discriminator": {"dcgan": {"width": 4}},
            "tricks": [
                {"label-smoothing": {"real": [0.7, 1.0]}},
                {"instance-noise": {"sigma": {"linear": [0.2, 0.05], "until": "80%"}}},
                {"replay-buffer": {"size": 10}},
                {"generator-dropout": {"p": 0.3}},
                {"ema": {"decay": 0.9}},
            ],
            "checkpoint": {"every": 3, "keep": 2},
            "without": ["progress", "samples"],
            "train": {"steps": 9, "batch_size": 8, "device": "cpu"},
        }
        train = {**base["train"], **changes.pop("train", {})}
        return {**base, **changes, "train": train}

    return recipe


@pytest.fixture
def small_cyclegan():
    """The recipe of a CycleGAN on pictures of 8 pixels."""

    def recipe(**changes):
        base = {
            "variant": "cyclegan",
            "dataset": {"restyled-digits": {"size": 8}},
            "generator": {"resnet-translator": {"blocks": 1, "width": 4}},
            "discriminator": {"patchgan": {"layers": 1, "width": 4}},
            "checkpoint": {"every": 3, "keep": 2},
            "without": ["progress", "samples", "replay-buffer"],
            "tricks": [{"replay-buffer": {"size": 5}}],
            "train": {"steps": 9, "batch_size": 2, "device": "cpu"},
        }
        train = {**base["train"], **changes.pop("train", {})}
        return {**base, **changes, "train": train}

    return recipe


@pytest.fixture
def state_of():
    """A function: the newest checkpoint of a run's folder, as a tree of plain values and a dict of tensors."""
    from ganrun.training import checkpoint

    def read(folder):
        _, _, state, damaged = checkpoint.load_newest(folder / "checkpoints", lambda state: None)
        assert not damaged
        tensors = {}
        return checkpoint.flatten(state, tensors), tensors

    return read


@pytest.fixture
def same_end(state_of):
    """A function: assert that two runs ended in the same state, to the bit."""

    def compare(one, other):
        (tree, tensors), (other_tree, other_tensors) = state_of(one), state_of(other)
        assert tensors, "there is something to compare"
        assert tensors.keys() == other_tensors.keys()
        assert [name for name in tensors if not torch.equal(tensors[name], other_tensors[name])] == []
        assert tree == other_tree

    return compare


@pytest.fixture
def recorder():
    """A function that makes a trick class which implements the events named and writes each call into a list."""

    def make(log, names_of_events):
        def method(name, parameters):
            scope = {"log": log}
            exec(f"def {name}(self, {', '.join(parameters)}): log.append('{name}')", scope)
            return hookimpl(scope[name])

        parameters = {"plan": ["plan"], "build": ["experiment"], "sampling": ["sampling"], "targets": ["turn", "round"]}
        parameters |= {name: ["turn", "call"] for name in ("augment", "corrupt", "pack")}
        parameters["discriminator_output"] = ["turn", "call", "output"]
        parameters["step_taken"] = ["step"]
        parameters["optimizer_options"] = ["player", "step", "options"]
        return type("Recorder", (), {name: method(name, parameters.get(name, ["turn"])) for name in names_of_events})

    return make
