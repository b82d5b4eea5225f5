"""push, pull, pack and hf:// names, against a server on loopback that speaks the hub's calls."""

import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from hub_server import TOKEN, HubServer

from ganrun import load
from ganrun.cli import main
from ganrun.training import checkpoint, hub
from ganrun.training.initial import started

RUNS = Path(__file__).parents[2] / "data" / "runs_0166519"


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The hub, a token that may write the models of ``me``, and a folder to stand in."""
    found = HubServer()
    monkeypatch.setenv("HF_ENDPOINT", found.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)  # the server stores objects by LFS
    # the library reads HF_ENDPOINT when it is imported, which an earlier test may have done
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", found.url)
    template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.chdir(tmp_path)
    yield found
    found.close()


@pytest.fixture
def ganrun(capsys):
    """A function that runs a command line and returns exit code, stdout and stderr."""

    def command(*arguments):
        code = 0
        try:
            main(list(map(str, arguments)))
        except SystemExit as end:
            code = end.code or 0
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


@pytest.fixture
def dcgan(tmp_path):
    """A copy of a run of an earlier version, with scores."""
    return Path(shutil.copytree(RUNS / "dcgan", tmp_path / "dcgan"))


def push(ganrun, run, *more):
    return ganrun("push", run, "me/digits", "--license", "cc-by-4.0", *more)


def test_what_is_pushed_and_pulled_makes_the_same_samples(server, ganrun, dcgan, tmp_path):
    code, out, err = push(ganrun, dcgan)
    assert (code, out.splitlines()) == (
        0,
        [
            f"{server.url}/me/digits (step 3; 1 evaluator with scores; without discriminator)",
            "open it with: ganrun sample hf://me/digits",
        ],
    ), err
    there = server.repositories["me/digits"].files
    assert sorted(there) == [
        ".gitattributes",
        "README.md",
        "checkpoints/step-0000003/manifest.json",
        "checkpoints/step-0000003/state.json",
        "checkpoints/step-0000003/tensors.safetensors",
        "evaluations.jsonl",
        "recipe.yaml",
        "sample.png",
        "versions.json",
    ]
    assert b'license: "cc-by-4.0"' in there["README.md"]
    code, out, _ = ganrun("pull", "me/digits")
    assert (code, out.startswith("runs/digits: me/digits, revision ")) == (0, True)
    assert torch.equal(load("runs/digits").sample(5), load(dcgan).sample(5))
    assert not list(tmp_path.rglob(".*pulling"))


def test_commands_open_a_run_of_the_hub_and_write_beside_themselves(server, ganrun, dcgan, tmp_path):
    push(ganrun, dcgan)
    code, out, err = ganrun("sample", "hf://me/digits", "--count", "4")
    assert (code, out) == (0, "digits-sample.png (step 3; weights: average)\n"), err
    assert (tmp_path / "digits-sample.png").is_file()
    assert torch.equal(load("hf://me/digits").sample(3), load(dcgan).sample(3))
    code, out, _ = ganrun("evaluate", "hf://me/digits", "--stored")
    assert (code, "frechet-distance[pixels]" in out) == (0, True)
    code, out, _ = ganrun("show", "hf://me/digits")
    assert (code, out.startswith("# digits\n"), "The weights: cc-by-4.0." in out) == (0, True, True)
    code, out, _ = ganrun("show", dcgan)
    assert (code, "trained with ganrun up to step 3" in out, "`generator`, `discriminator`" in out) == (0, True, True)
    calls = len(server.calls)
    load("hf://me/digits")
    assert [call.split("/")[1] for call in server.calls[calls:]] == ["api"]  # what is the newest; nothing is fetched


def test_a_recipe_begins_with_the_weights_of_a_run_on_the_hub(server, ganrun, dcgan, make_run):
    push(ganrun, dcgan)
    init = {"run": "hf://me/digits", "networks": ["generator"]}
    recipe = {"variant": "dcgan", "dataset": {"digits": {"size": 16}}, "init": init}
    width = load(dcgan).recipe.networks["generator"].parameters["width"]
    latent = load(dcgan).recipe.variant.parameters["latent"]
    recipe |= {"variant": {"dcgan": {"latent": latent}}, "generator": {"dcgan": {"width": width}}}
    run = make_run(recipe)
    started(run.experiment)
    weight = run.experiment.modules["generator"].state_dict()["main.0.weight"]
    assert torch.equal(weight, load(dcgan).generator().state_dict()["main.0.weight"])


def test_a_push_of_the_same_changes_nothing_and_one_of_another_step_replaces_it(server, ganrun, dcgan, tmp_path):
    push(ganrun, dcgan)
    commits = len(server.repositories["me/digits"].commits)
    code, out, _ = push(ganrun, dcgan)
    assert (code, "has this already" in out, len(server.repositories["me/digits"].commits)) == (0, True, commits)
    step, state = checkpoint.read(dcgan / "checkpoints" / "step-0000003")
    checkpoint.write(dcgan / "checkpoints", 7, state | {"step": 7})
    push(ganrun, dcgan)
    steps = {path.split("/")[1] for path in server.repositories["me/digits"].files if path.startswith("checkpoints")}
    assert (step, steps) == (3, {"step-0000007"})
    assert "evaluations.jsonl" not in server.repositories["me/digits"].files  # those were of step 3
    assert load("hf://me/digits").step == 7


def test_a_pull_of_what_is_there_fetches_nothing_and_one_over_something_else_is_refused(
    server, ganrun, dcgan, tmp_path
):
    push(ganrun, dcgan)
    ganrun("pull", "me/digits")
    code, out, _ = ganrun("pull", "me/digits")
    assert (code, out.startswith("runs/digits has it already: me/digits")) == (0, True)
    code, _, err = ganrun("pull", "me/digits", "-o", dcgan)
    assert (code, "is there already, and is not revision" in err, "add --overwrite" in err) == (2, True, True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("x")
    code, _, err = ganrun("pull", "me/digits", "-o", "mine", "--overwrite")
    assert (code, err.rstrip().endswith("; give another --output")) == (2, True)
    assert (tmp_path / "mine" / "a.txt").read_text() == "x"
    assert ganrun("pull", "me/digits", "-o", dcgan, "--overwrite")[0] == 0


def test_an_older_revision_is_named_behind_the_name(server, ganrun, dcgan):
    push(ganrun, dcgan)
    first = server.repositories["me/digits"].commits[-1]
    assert load(f"hf://me/digits@{first}").step == 3
    code, _, err = ganrun("pull", "me/digits@v9")
    assert (code, "me/digits has no such revision on the hub" in err) == (2, True)


@pytest.mark.slow
def test_a_pull_that_breaks_off_leaves_no_run_and_the_next_one_goes_on(server, ganrun, dcgan, tmp_path):
    push(ganrun, dcgan)
    server.cut = {"tensors.safetensors": 1000}
    code, _, err = ganrun("pull", "me/digits")
    assert code == 2
    assert f"pulling me/digits: {server.url} does not answer, or the connection broke" in err
    assert not (tmp_path / "runs" / "digits").exists()
    server.cut, calls = {}, len(server.calls)
    assert ganrun("pull", "me/digits")[0] == 0
    assert not [call for call in server.calls[calls:] if call.startswith("GET") and "manifest.json" in call]
    assert torch.equal(load("runs/digits").sample(5), load(dcgan).sample(5))


@pytest.mark.slow
def test_a_push_that_breaks_off_changes_nothing_and_can_be_repeated(server, ganrun, dcgan):
    push(ganrun, dcgan)
    before = dict(server.repositories["me/digits"].files)
    server.broken = {"PUT": 1000}
    server.objects.clear()
    code, _, err = ganrun("push", RUNS / "progan", "me/digits", "--license", "mit")
    assert (code, "does not answer, or the connection broke" in err) == (2, True)
    assert server.repositories["me/digits"].files == before
    server.broken = {}
    assert ganrun("push", RUNS / "progan", "me/digits", "--license", "mit")[0] == 0
    assert server.repositories["me/digits"].files["recipe.yaml"] != before["recipe.yaml"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("pull", "digits"), "'digits' is no name on the hub; write user/name"),
        (("pull", "me/none"), "there is no model me/none on URL, or it is private: then log in with `hf auth login`"),
        (("sample", "hf://me/none"), "there is no model me/none on URL, or it is private"),
        (("push", "RUN", "a/b/c", "--license", "mit"), "'a/b/c' is no name on the hub; write user/name"),
        (
            ("push", "RUN", "you/digits", "--license", "mit"),
            "URL refuses it (You don't have the rights to create a model",
        ),
        (("push", "RUN", "me/digits"), "say under which licence others may use the weights: --license cc-by-4.0"),
        (("push", "runs/none", "me/digits", "--license", "mit"), "runs/none is not there"),
    ],
)
def test_mistakes_are_told_with_a_way_out(command, message, server, ganrun, dcgan):
    code, _, err = ganrun(*(str(dcgan) if word == "RUN" else word for word in command))
    assert code == 2
    assert message.replace("URL", server.url) in err
    assert "Traceback" not in err


def test_without_a_token_pushing_says_how_to_get_one(server, ganrun, dcgan, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    code, _, err = push(ganrun, dcgan)
    assert (code, "log in with `hf auth login`, or set HF_TOKEN" in err) == (2, True)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    code, _, err = push(ganrun, dcgan)
    assert (code, "does not know who asks; log in with `hf auth login`, or set HF_TOKEN" in err) == (2, True)


def test_without_a_network_the_copy_is_used_and_said_to_be_one(server, ganrun, dcgan, monkeypatch):
    push(ganrun, dcgan)
    samples = load("hf://me/digits").sample(3)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.warns(UserWarning, match="127.0.0.1:9 does not answer, .*; the copy of revision .* is used"):
        assert torch.equal(load("hf://me/digits").sample(3), samples)
    code, _, err = ganrun("pull", "me/digits")
    assert (code, "pulling me/digits: http://127.0.0.1:9 does not answer" in err) == (2, True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = ganrun("pull", "me/digits")
    assert (code, "HF_HUB_OFFLINE is set, so the hub is not asked; unset it" in err) == (2, True)


def test_a_model_that_is_no_run_is_refused_and_nothing_else_of_a_run_is_fetched(server, ganrun, dcgan):
    push(ganrun, dcgan)
    there = server.repositories["me/digits"]
    there.commit(there.files | {"pytorch_model.bin": b"pickle", "checkpoints/step-0000003/optimizer.pt": b"pickle"})
    assert ganrun("pull", "me/digits")[0] == 0
    assert not [path for path in Path("runs/digits").rglob("*") if path.suffix in (".bin", ".pt")]
    there.commit({"pytorch_model.bin": b"pickle"})
    code, _, err = ganrun("pull", "me/digits", "-o", "other")
    assert (code, "me/digits holds no run of ganrun (it has no recipe.yaml)" in err) == (2, True)


def test_damaged_weights_are_told_by_their_hash(server, ganrun, dcgan):
    push(ganrun, dcgan)
    there = server.repositories["me/digits"]
    path = "checkpoints/step-0000003/tensors.safetensors"
    there.commit(there.files | {path: there.files[path][:-1] + b"X"})
    code, _, err = ganrun("sample", "hf://me/digits")
    assert (code, "tensors.safetensors is damaged: its size or SHA-256 is not what was written" in err) == (2, True)


def test_a_packed_run_is_opened_by_the_commands_that_open_runs(ganrun, dcgan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = ganrun("pack", dcgan, "-o", "model.zip", "--license", "mit")
    assert (code, "bytes (step 3; 1 evaluator with scores; without discriminator)" in out) == (0, True), err
    assert torch.equal(load("model.zip").sample(5), load(dcgan).sample(5))
    assert ganrun("sample", "model.zip", "--count", "4")[0:2] == (0, "model-sample.png (step 3; weights: average)\n")
    code, _, err = ganrun("pack", dcgan, "-o", "model.zip")
    assert (code, err) == (2, "model.zip exists already; give another --output, or add --overwrite\n")
    code, _, err = ganrun("pack", dcgan, "-o", "model.tar")
    assert (code, "with -o a name that ends in .zip" in err) == (2, True)


def test_names_on_the_hub_are_read_with_and_without_a_revision():
    assert hub.split_name("me/digits") == ("me/digits", None)
    assert hub.split_name("hf://me/digits@v1.0") == ("me/digits", "v1.0")
