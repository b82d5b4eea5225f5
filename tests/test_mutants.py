"""Recipes with mistakes: thousands of mutants of the shipped ones are checked, and none ends in a traceback."""

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from mutants import RECIPES, beside_the_recipes, checked, mutants, problem


@pytest.mark.slow
def test_each_shipped_recipe_passes_a_check_or_lacks_data_or_a_run_of_the_user_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path))
    folder = beside_the_recipes(tmp_path)
    lacking = {}
    for path in sorted(RECIPES.glob("*.yaml")):
        code, error = checked(path.read_text(encoding="utf-8"), folder)
        assert code in (0, 2), f"{path.name}: {code}\n{error}"
        if code:
            lacking[path.stem] = error
    assert set(lacking) == {
        "dcgan_lsun",
        "gan_cls_birds",
        "pix2pix_facades",
        "srgan",
        "transfer_styled_digits",
        "wgan_lsun",
    }, lacking


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_each_of_two_thousand_mutants_passes_or_is_refused_with_a_place(part, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path_factory.mktemp("data")))
    folder = beside_the_recipes(tmp_path_factory.mktemp("mutants"))
    torch.set_num_threads(1)
    codes = []

    @seed(part)
    @settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(mutants())
    def each(mutant):
        name, text = mutant
        code, error = checked(text, folder)
        codes.append(code)
        wrong = problem(code, error)
        assert not wrong, f"a mutant of {name}: {wrong}\n{text}\n{error}"

    each()
    assert len(codes) >= 500
    assert set(codes) == {0, 2}, "some are right, some are refused"
