"""Names and patterns of what a run writes: they match that, and nothing that somebody else put beside it.

What others wrote in the folder stays, and no link in it leads a write outside.
"""

import contextlib
import json
import os
import shutil

import pytest

import ganrun
from ganrun.errors import UserError
from ganrun.training import checkpoint
from ganrun.training.contents import holding, is_inside, is_within, matching, remove_all, remove_later, without_covered


@pytest.fixture
def place(tmp_path):
    """A folder, and a function that fills it with files of these names, each holding its name."""

    def fill(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)
        return tmp_path

    return fill


def all_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step-0000004.png", 4),
        ("step-12345678.png", 12345678),
        ("step-4.png", None),
        ("step-00000004.png", None),
        ("step-0000004.png.bak", None),
        ("my-step-0000004.png", None),
        ("step-0000004\u0663.png", None),
        ("holiday.png", None),
    ],
)
def test_a_step_is_seven_digits_or_more_without_a_zero_in_front(place, name, step):
    found = list(matching(place(f"samples/{name}"), "samples/step-{step}.png"))
    assert [number for _, number in found] == ([] if step is None else [step])


def test_a_star_stays_within_one_name(place):
    folder = place("evaluations/a-b-0000002.png", "evaluations/b/c-0000002.png", "evaluations/0000002.png")
    found = list(matching(folder, "evaluations/*-{step}.png"))
    assert [(path.name, step) for path, step in found] == [("a-b-0000002.png", 2)]


def test_a_name_is_no_pattern(place):
    folder = place("a.b", "axb", "[a]")
    assert [path.name for path, _ in matching(folder, "a.b")] == ["a.b"]
    assert [path.name for path, _ in matching(folder, "[a]")] == ["[a]"]


def test_links_on_the_way_are_not_followed(place, tmp_path):
    folder = place("real/step-0000001.png", "run/x")
    os.symlink(folder / "real", folder / "run/samples")
    remove_all(folder / "run", ["samples/step-{step}.png"])
    remove_later(folder / "run", 0, ["samples/step-{step}.png", "samples"])
    assert all_files(folder) == ["real/step-0000001.png", "run/x"]
    assert (folder / "run/samples").is_symlink()


def test_removing_takes_what_matches_and_folders_that_are_empty_then(place):
    folder = place(
        "samples/step-0000001.png", "samples/holiday.png", "strip/step-0000001.png", "tracker/a/b", "c.jsonl"
    )
    remove_all(folder, ["samples/step-{step}.png", "strip/step-{step}.png", "tracker", "c.jsonl", "not there"])
    assert all_files(folder) == ["samples/holiday.png"]
    assert not (folder / "strip").exists()


def test_what_is_of_later_steps_goes(place):
    later = ["samples/step-0000003.png", "pages/step-0000003.txt", "pages/step-3"]
    stay = ["samples/step-0000002.png", "samples/step-3.png", "pages/step-0000002.txt", "pages/cover.txt", "diary.txt"]
    folder = place(*later, *stay)
    (folder / "lines.jsonl").write_text('{"step": 2}\n{"step": 3}\n')
    remove_later(folder, 2, ["samples/step-{step}.png", "pages", "diary.txt", "lines.jsonl"])
    assert all_files(folder) == sorted([*stay, "lines.jsonl"])
    assert (folder / "lines.jsonl").read_text() == '{"step": 2}\n'


def test_what_is_held_is_said_and_empty_folders_are_nothing(place):
    folder = place("samples/step-0000001.png", "pages/cover.txt", "metrics.jsonl")
    (folder / "tracker").mkdir()
    patterns = ["samples/step-{step}.png", "pages", "metrics.jsonl", "tracker", "strip.png"]
    assert holding(folder, patterns) == ["samples/step-0000001.png", "pages", "metrics.jsonl"]


def test_patterns_in_a_folder_are_covered_by_its_name():
    assert is_within("samples/step-{step}.png", ["samples"])
    assert is_within("samples", ["samples/"])
    assert not is_within("samples2", ["samples"])
    assert without_covered(["samples", "metrics.jsonl"], ["samples/step-{step}.png"]) == ["metrics.jsonl"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/../b", "/a", "a\0b", None, 3, ["a"]])
def test_what_names_nothing_within_a_folder(name):
    assert not is_inside(name)


def names(folder):
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


# --- what belongs to others -------------------------------------------------------------------------------------


def content(folder):
    """Path below a folder -> bytes of each file, or where a link leads."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }


FOREIGN = [
    "metrics.jsonl",
    "samples/step-0000001.png",
    "checkpoints/step-0000001/w",
    "checkpoints/best.json",
    "evaluations.jsonl",
    "evaluations/a-b-0000001.png",
    "versions.json",
    "recipe.yaml",
]


@pytest.mark.parametrize(
    "options", [{}, {"overwrite": True}, {"resume": True}, {"resume": True, "force": True}], ids=str
)
@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_that_no_run_wrote_is_refused_and_left_as_it_was(logged, tmp_path, name, options):
    place = tmp_path / "mine"
    (place / name).parent.mkdir(parents=True)
    (place / name).write_text('{"step": 999, "mine": 1}\n')
    before = content(place)
    with pytest.raises(UserError, match="which no run there wrote|is no run's|no run to resume"):
        ganrun.run(logged, output=place, **options)
    assert content(place) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_beside_those_of_a_run_stay_through_its_whole_life(logged, tmp_path, overwrite):
    place, others = tmp_path / "run", {}
    for name in ("samples/holiday.png", "checkpoints/model.pt", "checkpoints/step-1/w", "samples/step-1.png", "notes"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("precious")
        others[name] = b"precious"
    ganrun.run(logged, output=place, overwrite=overwrite)
    for name in ("checkpoints/step-0000099/w", "checkpoints/step-0000002/notes", "evaluations/mine.png"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("precious")
        others[name] = b"precious"
    ganrun.run(place, ["train.steps=4"], resume=True)
    assert {name: found for name, found in content(place).items() if name in others} == others
    assert [step for step, _ in checkpoint.listing(place / "checkpoints")] == [4]
    ganrun.run(logged, output=place, overwrite=True)
    assert {name: found for name, found in content(place).items() if name in others} == others
    assert names(place / "samples") == {"holiday.png", "step-1.png", "step-0000001.png", "step-0000002.png"}


def test_an_empty_folder_of_a_name_that_a_run_writes_is_nothing_to_refuse(logged, tmp_path):
    for name in ("samples", "checkpoints", "evaluations"):
        (tmp_path / "run" / name).mkdir(parents=True)
    assert ganrun.run(logged, output=tmp_path / "run").step == 2


def test_what_a_new_observer_would_write_over_is_refused_on_resume(logged, tiny, tmp_path):
    run = tmp_path / "run"
    ganrun.run(tiny(observers=["checkpoints"], train={"steps": 2}), output=run)
    (run / "metrics.jsonl").write_text('{"step": 999}\n')
    with pytest.raises(UserError, match=r"holds metrics\.jsonl, which no run there wrote"):
        ganrun.run(logged, ["train.steps=4"], run, resume=True, force=True)
    assert (run / "metrics.jsonl").read_text() == '{"step": 999}\n'


def test_what_others_put_where_a_checkpoint_goes_stays_beside_it(tmp_path):
    for step in (1, 2):
        (tmp_path / f"step-000000{step}").mkdir()
        (tmp_path / f"step-000000{step}/notes").write_text("precious")
    for content in (1, 2):
        path = checkpoint.write(tmp_path, 1, {"a": content})
        assert checkpoint.read(path)[1] == {"a": content}
        assert names(path) == {*checkpoint.FILES, "manifest.json", "notes"}
    assert [step for step, _ in checkpoint.listing(tmp_path)] == [1]
    checkpoint.discard_after(tmp_path, 0)
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("notes"))] == [
        "step-0000001/notes",
        "step-0000002/notes",
    ]
    assert names(tmp_path) == {"step-0000001", "step-0000002"}


def test_a_file_where_a_checkpoint_goes_is_not_written_over(tmp_path):
    (tmp_path / "step-0000003").write_text("precious")
    with pytest.raises(OSError, match="a file of that name; move it away"):
        checkpoint.write(tmp_path, 3, {})
    assert (tmp_path / "step-0000003").read_text() == "precious"


def test_a_run_without_its_recipe_takes_no_other_one(logged, tmp_path):
    run = tmp_path / "run"
    ganrun.run(logged, output=run)
    (run / "recipe.yaml").unlink()
    before = content(run)
    for options in ({}, {"resume": True}):
        with pytest.raises(
            UserError, match=r"checkpoints up to step 2, of a run whose recipe\.yaml is gone; .*--force"
        ):
            ganrun.run(logged, {"train.seed": 7}, output=run, **options)
    with pytest.raises(UserError, match="holds no run"):
        ganrun.load(run)
    assert content(run) == before
    assert ganrun.run(logged, {"train.steps": 3}, output=run, resume=True, force=True).resumed_from == 2
    (run / "recipe.yaml").unlink()
    assert ganrun.run(logged, output=run, overwrite=True).step == 2


def test_a_run_that_lost_what_it_was_made_with_resumes_and_is_not_overwritten(logged, tmp_path, capsys):
    run = tmp_path / "run"
    ganrun.run(logged, output=run)
    (run / "versions.json").unlink()
    with pytest.raises(UserError, match=r"versions\.json is gone, so what this run wrote is not known"):
        ganrun.run(logged, output=run, overwrite=True)
    assert ganrun.run(run, {"train.steps": 3}, resume=True).resumed_from == 2
    assert "versions.json is gone: with which plugins" in capsys.readouterr().out
    assert ganrun.run(run, {"train.steps": 4}, resume=True).resumed_from == 3


def test_checkpoints_alone_are_no_run_to_overwrite(logged, tmp_path):
    run = tmp_path / "run"
    ganrun.run(logged, output=run)
    for name in ("recipe.yaml", "versions.json"):
        (run / name).unlink()
    before = content(run)
    for options in ({}, {"overwrite": True}):
        with pytest.raises(UserError, match=r"recipe\.yaml is gone"):
            ganrun.run(logged, output=run, **options)
    assert content(run) == before


def test_a_process_killed_while_it_prepared_the_folder_does_not_block_it(logged, tmp_path):
    run = tmp_path / "run"
    ganrun.run(logged, output=run)
    for step, path in checkpoint.listing(run / "checkpoints"):
        checkpoint.discard_after(path.parent, step - 1)
    (run / "recipe.yaml").unlink()
    assert ganrun.run(logged, output=run).step == 2
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [1, 2]


def test_a_folder_of_others_gets_no_lock_and_keeps_its_own(logged, tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    (place / "metrics.jsonl").write_text("mine")
    (place / ".lock").write_text("mine, too")
    for _ in range(2):
        with pytest.raises(UserError, match="which no run there wrote"):
            ganrun.run(logged, output=place)
    assert content(place) == {".lock": b"mine, too", "metrics.jsonl": b"mine"}


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """A run of the recipe ``logged``. It is for copies."""
    place = tmp_path_factory.mktemp("runs") / "two"
    small = {"mlp": {"widths": [16, 16], "norm": "none"}}
    observers = ["checkpoints", {"metrics-log": {"every": 1}}, {"samples": {"every": 1, "points": 4}}]
    recipe = {
        "variant": {"gan": {"latent": 4}},
        "dataset": {"ring": {"count": 512}},
        "generator": small,
        "discriminator": small,
        "without": ["progress", "health"],
        "observers": observers,
        "checkpoint": {"every": 1, "keep": 1},
        "train": {"steps": 2, "batch_size": 8, "device": "cpu"},
    }
    ganrun.run(recipe, output=place)
    return place


@pytest.fixture
def logged(two_steps):
    """A recipe of two steps that writes lines, pictures and checkpoints."""
    return str(two_steps / "recipe.yaml")


# --- links ------------------------------------------------------------------------------------------------------

LINKED = [
    ".lock",
    ".recipe.yaml.writing",
    ".versions.json.writing",
    ".metrics.jsonl.writing",
    "metrics.jsonl",
    "evaluations.jsonl",
    "versions.json",
    "recipe.yaml",
    "samples",
    "samples/.step-0000003.png.writing",
    "samples/step-0000003.png",
    "checkpoints",
    "checkpoints/best.json",
    "checkpoints/.writing-0000003",
    "checkpoints/.replaced-0000002",
    "checkpoints/step-0000001",
    "checkpoints/step-0000003",
    "checkpoints/step-0000002/state.json",
    "evaluations",
]


@pytest.mark.parametrize("overwrite", [False, True], ids=["resume", "overwrite"])
@pytest.mark.parametrize("name", LINKED)
def test_no_link_in_a_run_leads_a_write_outside(logged, two_steps, tmp_path, name, overwrite):
    """What is read through a link may be read; what is written, cut or removed is in the folder."""
    run, outside = tmp_path / "run", tmp_path / "outside"
    shutil.copytree(two_steps, run)
    there = run / name
    if there.exists():
        outside.mkdir()
        os.rename(there, outside / "it")
    else:
        (outside / "it").mkdir(parents=True)
        (outside / "it/precious").write_text("precious")
        there.parent.mkdir(exist_ok=True)
    there.symlink_to(outside / "it")
    before = content(outside)
    recipe = logged if overwrite or not (run / "recipe.yaml").exists() else run
    with contextlib.suppress(UserError):  # that is all which may happen
        ganrun.run(recipe, {"train.steps": 3}, run, resume=not overwrite, overwrite=overwrite)
    assert content(outside) == before


def test_a_run_in_a_folder_that_its_owner_linked_lives_as_any_other(logged, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    ganrun.run(logged, output=tmp_path / "run")
    assert ganrun.run(tmp_path / "run", {"train.steps": 3}, resume=True).resumed_from == 2
    assert ganrun.run(logged, output=tmp_path / "run", overwrite=True).step == 2
    assert (tmp_path / "run").is_symlink()
    assert {"recipe.yaml", "versions.json", "metrics.jsonl", "samples", "checkpoints"} <= names(tmp_path / "disk")
