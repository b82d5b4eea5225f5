"""Fixtures that several tests share: tiny experiments, from recipes given as dicts."""

from types import ModuleType

import pytest
import torch

from ganrun.catalog import Catalog
from ganrun.hookspecs import Component, hookimpl
from ganrun.recipe import load_recipe


@pytest.fixture(autouse=True)
def one_thread(monkeypatch, tmp_path_factory):
    """One thread, so that sums round alike in every test; and no test writes the user's cache folder."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path_factory.getbasetemp() / "data"))
    yield
    torch.set_num_threads(before)


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
            "without": ["progress", "samples", "metrics-log", "checkpoints"],
            "train": {"steps": 20, "batch_size": 8, "device": "cpu"},
        }
        train = {**base["train"], **changes.pop("train", {})}
        return {**base, **changes, "train": train}

    return recipe


@pytest.fixture
def make_run(plugin_module):
    """A function that builds the run of a recipe (a dict), with uninstalled plugins, without a folder."""
    from ganrun.run import Run, settings_of_torch

    def make(recipe, plugins=None):
        catalog = Catalog(modules=[plugin_module(plugins)] if plugins else [])
        loaded = load_recipe(recipe, catalog=catalog)
        with settings_of_torch(loaded):
            return Run(loaded, catalog)

    return make
