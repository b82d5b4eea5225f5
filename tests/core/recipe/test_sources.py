"""Bases: found, followed, and never shown where they are no recipes; and where typed paths start."""

import os
from pathlib import Path

import pytest

from ganrun.recipe import RecipeError, load_recipe

SECRET = "hunter2"


@pytest.fixture
def problems(load, write):
    """What is wrong with a recipe that extends the file ``base`` of the working directory."""

    def problems(base):
        with pytest.raises(RecipeError) as caught:
            load(f"extends: {base}\nvariant: toy\ndataset: digits\n")
        return str(caught.value)

    return problems


@pytest.mark.parametrize(
    "content",
    [
        f"root:{SECRET}:0:0\n",  # text
        f"password: {SECRET}\nuser: me\n",  # keys, none of which is a recipe's
        f"{SECRET}: 1\n",
        f"- {SECRET}\n",
        f"key: &{SECRET} [1\n",  # no YAML
        f"key: !{SECRET} 1\n",
        f"{SECRET}: 1\n{SECRET}: 2\n",
        f"\t{SECRET}\n",
    ],
)
def test_a_base_that_is_no_recipe_is_named_and_its_content_is_not_shown(problems, tmp_path, content):
    (tmp_path / "private").write_text(content)
    text = problems("private")
    assert "a.yaml:1:10: extends: " in text
    assert "private is no recipe: it holds none of a recipe's keys" in text
    assert SECRET not in text
    assert len(text.splitlines()) == 1


def test_a_mistake_in_a_base_that_is_a_recipe_is_shown_where_it_is(problems, tmp_path):
    (tmp_path / "base.yaml").write_text("train: {stps: 3}\n")
    assert 'base.yaml:1:9: train.stps: unknown key; did you mean "steps"?' in problems("base.yaml")
    (tmp_path / "base.yaml").write_text("train: {steps: 3\n")
    assert "base.yaml:1:8: " in problems("base.yaml")


def test_a_pipe_as_a_base_is_refused_and_not_waited_for(problems, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is no regular file" in problems("pipe")


def test_a_base_of_an_unknown_user_is_not_there(problems, tmp_path):
    assert "a.yaml:1:10: extends: no such file: " in problems("~no-such-user/x.yaml")


def test_a_loop_of_links_as_a_base_is_not_there(problems, tmp_path):
    (tmp_path / "b.yaml").symlink_to("c.yaml")
    (tmp_path / "c.yaml").symlink_to("b.yaml")
    assert "a.yaml:1:10: extends: no such file: " in problems("b.yaml")


def test_a_path_after_set_starts_at_the_working_directory_and_one_in_a_recipe_at_the_recipe(
    catalog, tmp_path, monkeypatch
):
    (tmp_path / "recipes" / "there").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "recipes" / "a.yaml"
    recipe.write_text("variant: toy\ndataset: {folder: {path: here}}\n")

    def path(*overrides):
        return load_recipe(recipe, catalog=catalog, overrides=overrides).dataset.parameters["path"]

    assert path() == Path("here")
    assert path("dataset.folder.path=here") == tmp_path / "here"
    assert path("dataset.folder.path=gone") == tmp_path / "gone"
    assert path("dataset.folder.path=/elsewhere") == Path("/elsewhere")
    assert path("dataset={folder: {path: here}}") == tmp_path / "here"
    with pytest.warns(UserWarning, match="taken for the one beside the recipe"):
        assert path("dataset.folder.path=there") == Path("there")
    kept = load_recipe(recipe, catalog=catalog, overrides=["dataset.folder.path=here"]).resolved
    assert kept["dataset"]["folder"]["path"] == str(tmp_path / "here")
    given = load_recipe(recipe, catalog=catalog, overrides={"dataset.folder.path": "here"})
    assert given.dataset.parameters["path"] == tmp_path / "here"
