"""What a loss has to keep."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganrun.schedule import Scheduled
from ganrun.testing.conditions import provides, when
from ganrun.testing.plugin import Plugin
from ganrun.words.game import DiscriminatorOutput, Game, Role, Round, Side, Stream

ROWS = 6
SIDES: tuple[Side, Side] = ("discriminator", "generator")
GAME = Game("adversarial", "discriminator", player="discriminator", against=("generator",))
OF_SCORES = frozenset({"logit:signed", "logit:probability", "logit:unbounded", "logit:relative", "logit:energy"})


def numbers_of(loss: Any) -> int:
    """How many numbers a sample the loss wants from the discriminator."""
    return int(getattr(loss, "logits", 1))


def shapes_of(loss: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of logits that the loss may meet: (B,), (B, 1, h, w), or (B, K), (B, K, h, w) if it asks for K numbers."""
    numbers = numbers_of(loss)
    return ((ROWS,), (ROWS, 1, 3, 3)) if numbers == 1 else ((ROWS, numbers), (ROWS, numbers, 3, 3))


def logits_of(
    loss: Any, shape: tuple[int, ...], seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Normal logits that want a gradient; energies are never below 0."""
    drawn = scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn.abs() if "logit:energy" in loss.provides else drawn).to(dtype).requires_grad_()


def score_of(loss: Any, round: Round, logits: Tensor) -> Tensor:
    """The discriminator's opinion, as the core asks the loss for it."""
    found: Tensor = loss.score(round, logits) if hasattr(loss, "score") else logits
    return found


def round_with(loss: Any, side: Side, logits: dict[Role, Tensor]) -> Round:
    """A round as the engine hands it to the loss, with targets on the discriminator's side."""
    streams = [
        Stream(torch.zeros(ROWS, 2), role, output=DiscriminatorOutput(logits[role]))
        for role in (("real", "fake") if side == "discriminator" or loss.real_in_generator else ("fake",))
    ]
    round = Round(GAME, side, streams)
    if side == "discriminator" and "targets" in loss.provides:
        for stream in streams:
            stream.target = torch.full_like(
                score_of(loss, round, stream.logits), round.now(loss.targets(stream.role)), requires_grad=False
            )
    return round


def round_of(
    loss: Any, side: Side, shape: tuple[int, ...], *, scale: float = 1.0, dtype: torch.dtype = torch.float32
) -> Round:
    """A round with normal logits."""
    return round_with(
        loss, side, {"real": logits_of(loss, shape, 0, scale, dtype), "fake": logits_of(loss, shape, 1, scale, dtype)}
    )


def values_of(loss: Any, round: Round) -> dict[Stream, Tensor]:
    """Stream -> values, as the engine asks for them."""
    return dict(loss.discriminator(round) if round.side == "discriminator" else loss.generator(round))


def total(values: dict[Stream, Tensor], **weights: float) -> Tensor:
    """What the engine minimises; with a weight by role, if some are given."""
    return torch.stack([weights.get(stream.role, 1.0) * value.mean() for stream, value in values.items()]).sum()


def gradients_of(value: Tensor, round: Round) -> list[Tensor | None]:
    """With respect to the logits of each stream; None where the value does not look at them."""
    return list(torch.autograd.grad(value, [stream.logits for stream in round.streams], allow_unused=True))


# --- values -----------------------------------------------------------------------------------------------------


def check_values_have_one_row_a_sample(plugin: Plugin) -> None:
    """Each side returns, for streams of the round, finite values whose first axis is the batch."""
    loss = plugin.part.make()
    for side in SIDES:
        for shape in shapes_of(loss):
            round = round_of(loss, side, shape)
            values = values_of(loss, round)
            assert values, f"the {side}'s side of logits {shape} has no values"
            for stream, value in values.items():
                assert stream in round.streams, f"the {side}'s side returns a stream that is not in the round"
                assert value.dim() > 0 and value.shape[0] == ROWS, (
                    f"{side}, logits {shape}: values of shape {tuple(value.shape)}"
                )
                assert bool(value.isfinite().all()), f"{side}, logits {shape}: values are not finite"


def check_finite_for_large_logits(plugin: Plugin) -> None:
    """Values and gradients stay finite for logits in the hundreds."""
    loss = plugin.part.make()
    for side in SIDES:
        round = round_of(loss, side, shapes_of(loss)[0], scale=300.0)
        value = total(values_of(loss, round))
        assert bool(value.isfinite()), f"the {side}'s side is {float(value.detach())} for logits around 300"
        finite = all(grad is None or bool(grad.isfinite().all()) for grad in gradients_of(value, round))
        assert finite, f"{side}: a gradient is not finite for logits around 300"


def check_gradient_reaches_the_logits(plugin: Plugin) -> None:
    """The discriminator learns from every stream, the generator from the fakes.

    A weight kept as state may begin at 0 (BEGAN's k).
    """
    loss = plugin.part.make()
    for side in SIDES:
        round = round_of(loss, side, shapes_of(loss)[1])
        grads = gradients_of(total(values_of(loss, round)), round)
        for stream, grad in zip(round.streams, grads):
            if side == "discriminator" or stream.role == "fake":
                reached = grad is not None and (
                    bool((grad != 0).any()) or (side == "discriminator" and hasattr(loss, "state_dict"))
                )
                assert reached, f"the {side}'s side sends no gradient to the {stream.role} logits"
        assert any(grad is not None and bool((grad != 0).any()) for grad in grads), (
            f"the {side}'s side sends no gradient to any logits"
        )


def check_number_formats(plugin: Plugin) -> None:
    """float64 logits give float64 values; bfloat16 logits, as mixed precision brings them, give finite ones."""
    loss = plugin.part.make()
    shape = shapes_of(loss)[1]
    for side in SIDES:
        for value in values_of(loss, round_of(loss, side, shape, dtype=torch.float64)).values():
            assert value.dtype == torch.float64, f"the {side}'s side turns float64 into {value.dtype}"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for value in values_of(loss, round_of(loss, side, shape, dtype=torch.bfloat16)).values():
                assert value.is_floating_point() and bool(value.isfinite().all()), (
                    f"the {side}'s side fails in bfloat16"
                )


def check_is_a_function_of_the_round(plugin: Plugin) -> None:
    """The same round gives the same values, and is left as it was."""
    loss = plugin.part.make()
    for side in SIDES:
        round = round_of(loss, side, shapes_of(loss)[0])
        before = [stream.logits.detach().clone() for stream in round.streams]
        first, second = total(values_of(loss, round)), total(values_of(plugin.part.make(), round))
        assert torch.equal(first, second), f"the {side}'s side gives other values for the same round"
        assert all(torch.equal(old, stream.logits) for old, stream in zip(before, round.streams)), (
            f"{side}: logits are changed in place"
        )


# --- targets ----------------------------------------------------------------------------------------------------


def check_generator_ignores_targets(plugin: Plugin) -> None:
    """Targets belong to the discriminator's side: label tricks never reach the generator."""
    loss = plugin.part.make()
    plain, marked = (round_of(loss, "generator", shapes_of(loss)[0]) for _ in range(2))
    for stream in marked.streams:
        stream.target = torch.full_like(score_of(loss, marked, stream.logits), math.nan, requires_grad=False)
    assert torch.equal(total(values_of(loss, plain)), total(values_of(loss, marked))), (
        "the generator's side reads stream.target"
    )


def check_targets_agree_with_provides(plugin: Plugin) -> None:
    """``targets`` returns numbers, or schedules of them, if the loss provides "targets", else None."""
    loss = plugin.part.make()
    found = [loss.targets(role) if hasattr(loss, "targets") else None for role in ("real", "fake")]
    if "targets" in loss.provides:
        assert all(isinstance(target, int | float | Scheduled) for target in found), f"targets returns {found}"
        real, fake = (Round(GAME, "discriminator", []).now(target) for target in found if target is not None)
        assert math.isfinite(real) and math.isfinite(fake), f"targets returns {found}"
        assert real != fake, "real and fake samples have one target, so there is nothing to tell apart"
    else:
        assert found == [None, None], f'targets returns {found}, but the loss does not provide "targets"'


@when(provides("targets"))
def check_targets_are_used(plugin: Plugin) -> None:
    """The discriminator's side compares with ``stream.target``, which tricks change, not with numbers of its own."""
    loss = plugin.part.make()
    plain, moved = (round_of(loss, "discriminator", shapes_of(loss)[0]) for _ in range(2))
    for stream in moved.streams:
        assert stream.target is not None
        stream.target = stream.target + 0.25
    for one, other in zip(values_of(loss, plain).values(), values_of(loss, moved).values()):
        assert not torch.equal(one, other), "another target changes nothing: use stream.target"


# --- which samples a value depends on ---------------------------------------------------------------------------


@when(provides("per-sample-generator"))
def check_generator_judges_each_sample_alone(plugin: Plugin) -> None:
    """As "per-sample-generator" promises, a sample's value depends on no logits but its own and those of its pair."""
    loss = plugin.part.make()
    round = round_of(loss, "generator", shapes_of(loss)[1])
    for value in values_of(loss, round).values():
        for grad in gradients_of(value[0].sum(), round):
            assert grad is None or not bool(grad[1:].any()), "the value of sample 0 depends on the logits of others"


def check_batch_coupling_is_declared(plugin: Plugin) -> None:
    """A loss provides "batch-coupled" if, and only if, a sample's value changes with other samples of the batch."""
    loss = plugin.part.make()
    shape, coupled = shapes_of(loss)[1], []
    for side in SIDES:
        one = round_of(loss, side, shape, dtype=torch.float64)
        logits: dict[Role, Tensor] = {
            stream.role: torch.cat([stream.logits[:1], logits_of(loss, shape, 7 + k, dtype=torch.float64)[1:]])
            for k, stream in enumerate(one.streams)
        }
        other = round_with(loss, side, logits)
        pairs = zip(values_of(loss, one).values(), values_of(loss, other).values())
        if any(not torch.allclose(value[0], changed[0]) for value, changed in pairs):
            coupled.append(side)
    if "batch-coupled" in loss.provides:
        assert coupled, 'the loss provides "batch-coupled", but each value depends on its own sample'
    else:
        assert not coupled, (
            f'values of the {coupled[0]}\'s side change with other samples, so the loss has to provide "batch-coupled"'
        )


# --- the score --------------------------------------------------------------------------------------------------


def check_names_of_the_score(plugin: Plugin) -> None:
    """What the loss says of its score is known to tricks, and does not contradict itself."""
    loss = plugin.part.make()
    said = {name for name in loss.provides if name.startswith("logit:")}
    assert said <= OF_SCORES, (
        f"no trick knows {', '.join(sorted(said - OF_SCORES))}; the names are {', '.join(sorted(OF_SCORES))}"
    )
    assert "logit:probability" not in said or "logit:signed" in said, (
        "sigmoid(0) = 1/2 is undecided: a logit:probability is logit:signed, too"
    )
    assert not {"logit:signed", "logit:relative"} <= said, (
        "if only differences of scores matter (logit:relative), 0 means nothing (logit:signed)"
    )
    assert numbers_of(loss) == 1 or hasattr(loss, "score"), (
        f"of {numbers_of(loss)} numbers a sample, ``score`` has to make one"
    )


def check_score_rows(plugin: Plugin) -> None:
    """``score`` gives one finite number a sample or patch, in the number format of the logits."""
    loss = plugin.part.make()
    for side in SIDES:
        for shape in shapes_of(loss):
            for dtype in (torch.float32, torch.float64):
                round = round_of(loss, side, shape, dtype=dtype)
                for stream in round.streams:
                    score = score_of(loss, round, stream.logits)
                    one_each = (
                        score.dim() > 0
                        and score.shape[0] == ROWS
                        and score.numel() == stream.logits.numel() // numbers_of(loss)
                    )
                    assert one_each, f"logits {shape}: a score of shape {tuple(score.shape)}"
                    assert bool(score.isfinite().all()), f"logits {shape}: scores are not finite"
                    assert score.dtype == dtype, f"the score turns {dtype} into {score.dtype}"
                    if "logit:energy" in loss.provides:
                        assert torch.equal(score, -stream.logits), "the score of an energy is minus the energy"


def check_larger_is_more_real(plugin: Plugin) -> None:
    """A step down the discriminator's loss, from equal logits, raises real samples' score over the fakes'."""
    loss = plugin.part.make()
    for shape in shapes_of(loss):
        real = logits_of(loss, shape, 0, dtype=torch.float64)
        fake = real.detach().flip(0).requires_grad_()  # the same numbers, but no two equal ones in a pair
        round = round_with(loss, "discriminator", {"real": real, "fake": fake})
        before = gap_of(loss, round)
        grads = gradients_of(total(values_of(loss, round)), round)
        for stream, grad in zip(round.streams, grads):
            stream.output = DiscriminatorOutput(stream.logits.detach() - 1e-3 * (0 if grad is None else grad))
        after = gap_of(loss, round)
        assert after > before, (
            f"logits {shape}: the discriminator learns, and real samples' scores fall below fakes'; "
            "is the score's sign right?"
        )


def gap_of(loss: Any, round: Round) -> float:
    """Mean score of the real samples minus that of the fakes."""
    real, fake = (score_of(loss, round, stream.logits).mean() for stream in (round.real, round.fake))
    return float((real - fake).detach())


@when(provides("logit:signed"))
def check_score_zero_is_undecided(plugin: Plugin) -> None:
    """As "logit:signed" promises: where real and fake samples are equally frequent, a score of 0 cannot be bettered."""
    loss = plugin.part.make()
    logits = logits_of(loss, shapes_of(loss)[0], 0, dtype=torch.float64)
    round = round_with(loss, "discriminator", {"real": logits, "fake": logits})
    minimise(lambda: score_of(loss, round, logits).square().mean(), logits)
    assert float(score_of(loss, round, logits).detach().abs().max()) < 1e-3, "no logits have the score 0"
    both, real = (
        torch.autograd.grad(total(values_of(loss, round), fake=weight), logits)[0].abs().max() for weight in (1.0, 0.0)
    )
    assert float(both) < 1e-2 * float(real), (
        "at score 0 the discriminator's loss has a slope, although real and fake samples are equally frequent"
    )


@when(provides("logit:probability"))
def check_score_is_a_probability(plugin: Plugin) -> None:
    """As "logit:probability" promises: where a share p of the samples is real, the best score has the sigmoid p."""
    loss = plugin.part.make()
    for p in (0.2, 0.5, 0.9):
        found = best_score(loss, p).sigmoid()
        assert torch.allclose(found, torch.full_like(found, p), atol=1e-3), (
            f"where {p:.0%} are real, the best score's sigmoid is {found[0]:.3f}"
        )


def best_score(loss: Any, p: float) -> Tensor:
    """The score (B,) that serves the discriminator best on samples of which a share p is real."""
    logits = logits_of(loss, shapes_of(loss)[0], 0, dtype=torch.float64)
    round = round_with(loss, "discriminator", {"real": logits, "fake": logits})
    minimise(lambda: total(values_of(loss, round), real=p, fake=1 - p), logits)
    return score_of(loss, round, logits).detach()


@when(provides("logit:relative"))
def check_only_differences_matter(plugin: Plugin) -> None:
    """As "logit:relative" promises: a number added to all logits changes nothing on either side."""
    loss = plugin.part.make()
    for side in SIDES:
        one = round_of(loss, side, shapes_of(loss)[0], dtype=torch.float64)
        other = round_with(loss, side, {stream.role: stream.logits + 0.5 for stream in one.streams})
        same = torch.allclose(total(values_of(loss, one)), total(values_of(loss, other)))
        assert same, f"the {side}'s side changes when 0.5 is added to all logits"


def minimise(value: Callable[[], Tensor], logits: Tensor) -> None:
    """Bring free logits to where ``value()`` is least."""
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=100, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        found = value()
        found.backward()
        return found

    optimizer.step(closure)
