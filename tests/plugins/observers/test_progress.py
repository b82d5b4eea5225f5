"""What progress says, on a terminal and elsewhere."""

import contextlib
import io
import re

import pytest
from rich.console import Console

from ganrun import api
from ganrun.words.hooks import hookimpl
from ganrun_plugins.observers.progress import clock, losses, main_scores


class StopAt:
    def __init__(self, *, step: int = 3):
        self.step = step

    @hookimpl
    def step_end(self, run):
        if run.step == self.step:
            run.stop("interrupted")


class FailAt(StopAt):
    @hookimpl
    def step_end(self, run):
        if run.step == self.step:
            raise ZeroDivisionError


class GoBackAt(StopAt):
    @hookimpl
    def step_end(self, run):
        run.notices["a-finding"] = f"seen at step {run.step}"
        if run.step == self.step and not run.rollbacks:
            run.roll_back("a whim")


class Score:
    def evaluate(self, evaluation):
        return {"distance": 1.25, "detail": 3.0}


@pytest.fixture
def train(tmp_path, tiny, plugin_module, capsys):
    """Train with progress, and return what it printed, line by line."""

    def train(steps=5, observers=("checkpoints",), resume=False, **changes):
        plugins = plugin_module(
            {
                "observer.stop-at": StopAt,
                "observer.fail-at": FailAt,
                "observer.go-back-at": GoBackAt,
                "evaluator.score": Score,
            }
        )
        recipe = tiny(observers=[{"progress": {"seconds": 1e6}}, *observers], train={"steps": steps}, **changes)
        with contextlib.suppress(ZeroDivisionError):
            api.run(recipe, output=tmp_path / "run", plugins=[plugins], resume=resume, force=resume)
        return capsys.readouterr().out.splitlines()

    return train


def test_plain_lines_are_few_the_first_and_the_last(train):
    lines = train()
    assert lines[0].startswith("gan on ring (512 items), 5 steps on cpu (1 thread); parameters: generator ")
    assert lines[1].startswith("step 1/5  discriminator ")
    assert lines[2].startswith("step 5/5  ")
    assert lines[3].startswith("finished: 5 steps, 0:0")


def test_the_end_says_where_everything_is(train, tmp_path):
    lines = train(observers=[{"samples": {"points": 5}}, "metrics-log", "checkpoints"], evaluators=["score"])
    assert lines[2].endswith("score.distance 1.25  " + str(tmp_path / "run/samples/step-0000005.png"))
    tail = [line.strip().replace(str(tmp_path), "") for line in lines[4:]]
    assert tail == [
        "score.distance: 1.25",
        "score.detail: 3",
        "newest picture: /run/samples/step-0000005.png",
        "newest checkpoint: /run/checkpoints/step-0000005",
        "metrics: /run/metrics.jsonl",
    ]


def test_the_end_says_of_which_weights_samples_and_scores_are(train):
    """Decay 0.5: after two updates a quarter of the average is the initial weights."""
    lines = train(steps=2, evaluators=["score"], tricks=[{"ema": {"decay": 0.5}}])
    assert "  weights of samples and scores: average, 25% of it the initial weights" in lines


def test_an_interrupted_run_says_how_to_go_on_after_its_last_step_was_saved(train, tmp_path):
    lines = train(observers=[{"stop-at": {"step": 3}}, "checkpoints"])
    assert any(line.startswith("interrupted after 3 of 5 steps") for line in lines)
    assert lines[-2].endswith("step-0000003")
    assert lines[-1].strip() == f"continue with: ganrun recipe {tmp_path / 'run'} --resume"
    resumed = train(observers=["checkpoints"], resume=True)
    assert "resumed at step 3; 5 steps" in resumed[0]
    assert resumed[1].startswith("step 4/5")


def test_a_failed_run_says_where_it_can_go_on(train):
    lines = train(observers=[{"fail-at": {"step": 3}}, "checkpoints"], checkpoint={"every": 2})
    assert any(line.startswith("failed after 3 of 5 steps") for line in lines)
    assert "--resume" in lines[-1]


def test_a_step_back_is_printed_and_the_speed_measured_again(train):
    lines = train(observers=[{"go-back-at": {"step": 4}}, "checkpoints"], checkpoint={"every": 2})
    assert [line.partition("  ")[0] for line in lines[1:5]] == [
        "step 1/5",
        "rolled back from step 4 to 2: a whim; attempt 1",
        "step 3/5",
        "step 5/5",
    ]
    assert "steps/s" not in lines[3], "the time before it does not count"


def test_a_run_without_checkpoints_says_that_it_cannot_go_on(train):
    lines = train(observers=[{"stop-at": {"step": 3}}])
    assert "no checkpoint was written" in lines[-1]


def test_resuming_names_the_plugin_files(tmp_path, tiny, capsys):
    plugin = tmp_path / "my plugin.py"
    plugin.write_text(
        "from ganrun.plugin import Component, hookimpl\n"
        "from ganrun_plugins.losses.minimax import Minimax\n"
        "class Stop:\n"
        "    @hookimpl\n"
        "    def step_end(self, run):\n"
        "        run.stop('interrupted')\n"
        "@hookimpl\n"
        "def ganrun_components():\n"
        "    yield Component('loss', 'mine', Minimax)\n"
        "    yield Component('observer', 'stop', Stop)\n"
    )
    api.run(tiny(loss="mine", observers=["progress", "stop", "checkpoints"]), output=tmp_path / "run", plugins=[plugin])
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"--resume --plugin '{plugin}'")


def test_a_terminal_gets_a_live_table(train, monkeypatch):
    shown = io.StringIO()
    real = Console

    def terminal(*arguments, **options):
        return real(file=shown, force_terminal=True, width=200, legacy_windows=False)

    monkeypatch.setattr("rich.console.Console", terminal)
    monkeypatch.setenv("TERM", "xterm")
    train(evaluators=["score"], observers=[{"samples": {"points": 5}}, {"go-back-at": {"step": 9}}, "checkpoints"])
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    assert "step 5/5" in text
    assert re.search(r"generator +0\.\d+", text)
    assert "score.distance  1.25" in text
    assert "  a-finding: seen at step 5\n" in re.sub(r" +\n", "\n", text.replace("\r", ""))
    assert "step-0000005.png" in text


def test_reading_losses_waits_for_the_device_only_on_lines(train, monkeypatch):
    from ganrun.training.run import Run

    calls = []
    real = Run.metrics
    monkeypatch.setattr(Run, "metrics", lambda run: calls.append(run.step) or real(run))
    train(steps=9)
    assert calls == [1, 9]


def test_losses_are_summed_by_phase_and_game():
    metrics = {"d/adv.real": 0.5, "d/adv.fake": 0.25, "g/b.fake": 1.0, "g/a.fake": 2.0, "g/cycle_a": 3.0}
    assert losses(metrics) == {"d": {"": 0.75}, "g": {"b": 1.0, "a": 2.0, "cycle_a": 3.0}}


def test_the_main_score_of_an_evaluator_is_its_first():
    assert main_scores({"a.x": 1.0, "a.y": 2.0, "b.z": 3.0}) == {"a.x": 1.0, "b.z": 3.0}


def test_times_read_like_clocks():
    assert [clock(value) for value in (0, 7.4, 211, 7411, float("inf"))] == ["0:00", "0:07", "3:31", "2:03:31", "?"]


def test_several_processes_go_on_with_torchrun(train, tmp_path, make_run, tiny):
    run = make_run(tiny())
    run.folder = tmp_path / "run"
    run.processes.world = 2
    assert run.resume_command == (
        f"ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m ganrun recipe {tmp_path / 'run'} --resume"
    )


def test_several_machines_continue_with_the_processes_of_each(tmp_path, make_run, tiny, monkeypatch):
    run = make_run(tiny())
    run.folder = tmp_path / "run"
    run.processes.world = 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    start = "torchrun --nnodes 2 --nproc_per_node 4 --node_rank 0 --master_addr 10.0.0.1 -m ganrun recipe"
    assert run.resume_command == f"ACCELERATE_USE_CPU=true {start} {tmp_path / 'run'} --resume"
