"""A run enters its settings of torch by itself, and puts them back."""

import torch

from ganrun.words.hooks import hookimpl


def test_a_run_enters_its_settings_of_torch_by_itself_and_puts_them_back(tiny, make_run):
    """Built, trained, sampled and restored with nothing around it, float64 stays float64; and nothing leaks out."""
    threads = torch.get_num_threads() + 1
    run = make_run(tiny(train={"precision": "float64", "threads": threads, "deterministic": True}))
    run.engine.step(0)
    run.load_state_dict(run.state_dict())
    made = [run.sample_maker.turn(3).made["x"], *(turn.made["x"] for _, turn in run.sample_maker.stream(3))]
    terms = [value for phase in run.engine.terms.values() for value in phase.values()]
    tensors = [*terms, *made, *(p for module in run.engine.modules.values() for p in module.parameters())]
    assert {tensor.dtype for tensor in tensors} == {torch.float64}
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_num_threads() == threads - 1
    assert not torch.are_deterministic_algorithms_enabled()


def test_inside_a_step_the_settings_are_those_of_the_recipe(tiny, make_run):
    seen = []

    class Looks:
        @hookimpl
        def losses(self, turn):
            seen.append((torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()))

    run = make_run(
        tiny(tricks=["looks"], train={"precision": "float64", "deterministic": True}), {"trick.looks": Looks}
    )
    run.engine.step(0)
    assert set(seen) == {(torch.float64, True)}
