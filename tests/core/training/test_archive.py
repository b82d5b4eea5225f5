"""Runs in zip files: equal bytes for equal runs, and no entry that leads out of the folder."""

import zipfile

import pytest

from ganrun.errors import UserError
from ganrun.training import archive
from ganrun.training.archive import is_shared, unpacked, write_zip
from ganrun.training.located import is_copy, located, place_for

RUN = {
    "recipe.yaml": "variant: gan\n",
    "versions.json": "{}",
    "checkpoints/step-0000003/state.json": "{}",
    "checkpoints/step-0000003/tensors.safetensors": "T" * 5000,
}


def zipped(file, entries):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in entries.items():
            made.writestr(name, text)
    return file


def in_folder(folder, entries):
    for name, text in entries.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_what_is_packed_comes_out_again_and_nothing_else_goes_in(tmp_path):
    write_zip(
        in_folder(tmp_path / "run", RUN | {"metrics.jsonl": "{}", "samples/step-0000003.png": "P"}), tmp_path / "a.zip"
    )
    folder = unpacked(tmp_path / "a.zip")
    assert contents(folder) == RUN
    assert folder.name == "a"


def test_equal_runs_are_equal_zip_files_and_are_unpacked_once(tmp_path):
    write_zip(in_folder(tmp_path / "run", RUN), tmp_path / "a.zip")
    write_zip(in_folder(tmp_path / "again", RUN), tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert unpacked(tmp_path / "a.zip") == unpacked(tmp_path / "a.zip")


def test_a_folder_that_was_zipped_by_hand_is_found_in_it(tmp_path):
    assert contents(unpacked(zipped(tmp_path / "a.zip", {f"dcgan/{name}": text for name, text in RUN.items()}))) == RUN


@pytest.mark.parametrize(
    "name", ["../recipe.yaml", "/etc/recipe.yaml", "a/../../b", "..\\b", "C:/b", "checkpoints/../../b"]
)
def test_an_entry_that_leads_out_of_the_folder_is_refused(name, tmp_path):
    with pytest.raises(UserError, match="leads out of the folder; nothing was unpacked"):
        unpacked(zipped(tmp_path / "a.zip", RUN | {name: "x"}))
    assert not (tmp_path / "b").exists()


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("checkpoints/step-0000003/manifest.json")
    link.external_attr = 0o120777 << 16
    with pytest.raises(UserError, match=r"manifest\.json' is a link; nothing was unpacked"):
        unpacked(zipped(tmp_path / "a.zip", RUN | {link: "/etc/passwd"}))


def test_what_would_become_far_larger_than_weights_do_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST_UNPACKED", 10_000)
    with pytest.raises(UserError, match="bytes would become 1,0"):
        unpacked(zipped(tmp_path / "a.zip", RUN | {"README.md": "x" * 1_000_000}))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a.txt": "x"}, r"holds no run \(no recipe\.yaml\); `ganrun pack RUN -o FILE\.zip`"),
        ({"a/recipe.yaml": "x", "b/recipe.yaml": "x"}, r"holds several runs: a/recipe\.yaml, b/recipe\.yaml"),
    ],
)
def test_a_zip_file_without_one_run_is_refused(entries, message, tmp_path):
    with pytest.raises(UserError, match=message):
        unpacked(zipped(tmp_path / "a.zip", entries))


def test_a_damaged_zip_file_is_an_error_and_leaves_nothing_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "cache"))
    write_zip(in_folder(tmp_path / "run", RUN), tmp_path / "a.zip")
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"TTTT", b"TTTU", 1))
    with pytest.raises(UserError, match=r"a\.zip cannot be unpacked: Bad CRC-32"):
        unpacked(tmp_path / "a.zip")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.name in ("a", "recipe.yaml")]


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("recipe.yaml", True),
        ("checkpoints/step-0000003/state.json", True),
        ("checkpoints/step-0000003/extra.pkl", False),
        ("checkpoints/a/b/state.json", False),
        ("pytorch_model.bin", False),
        ("sub/recipe.yaml", False),
    ],
)
def test_only_what_a_run_consists_of_is_shared(name, shared):
    assert is_shared(name) is shared


def test_a_folder_is_where_it_is_and_another_file_is_refused(tmp_path):
    assert located(tmp_path) == tmp_path
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match="neither the folder of a run nor a zip file of `ganrun pack`"):
        located(tmp_path / "a.txt")


def test_what_is_made_of_a_copy_goes_to_the_working_directory(tmp_path):
    file = zipped(tmp_path / "model.zip", RUN)
    assert is_copy(file)
    assert not is_copy(tmp_path)
    assert place_for(tmp_path, "sample.png") == tmp_path / "sample.png"
    assert str(place_for(file, "sample.png")) == "model-sample.png"
    assert str(place_for("hf://me/digits@v2", "sample.png")) == "digits-sample.png"
