"""What a loss has to keep: in the state in which it begins, and in that which it has after a few updates."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ganrun.schedule import Scheduled
from ganrun.testing.conditions import provides, when
from ganrun.testing.plugin import Plugin
from ganrun.testing.tried_loss import GAME, ROWS, SIDES, Tried, gradients_of, in_each_state, states_of, total
from ganrun.words.game import DiscriminatorOutput, Role, Round, Side

OF_SCORES = frozenset({"logit:signed", "logit:probability", "logit:unbounded", "logit:relative", "logit:energy"})


# --- values -----------------------------------------------------------------------------------------------------


@in_each_state
def check_values_have_one_row_a_sample(tried: Tried) -> None:
    """Each side returns, for streams of the round, finite values whose first axis is the batch."""
    for side in SIDES:
        for shape in tried.shapes:
            round = tried.round(side, shape)
            values = tried.values(round)
            assert values, f"the {side}'s side of logits {shape} has no values"
            for stream, value in values.items():
                assert stream in round.streams, f"the {side}'s side returns a stream that is not in the round"
                assert value.dim() > 0 and value.shape[0] == ROWS, (
                    f"{side}, logits {shape}: values of shape {tuple(value.shape)}"
                )
                assert bool(value.isfinite().all()), f"{side}, logits {shape}: values are not finite"


@in_each_state
def check_finite_for_large_logits(tried: Tried) -> None:
    """Values and gradients stay finite for logits in the hundreds."""
    for side in SIDES:
        round = tried.round(side, tried.shapes[0], scale=300.0)
        value = total(tried.values(round))
        assert bool(value.isfinite()), f"the {side}'s side is {float(value.detach())} for logits around 300"
        finite = all(grad is None or bool(grad.isfinite().all()) for grad in gradients_of(value, round))
        assert finite, f"{side}: a gradient is not finite for logits around 300"


@in_each_state
def check_gradient_reaches_the_logits(tried: Tried) -> None:
    """The discriminator learns from every stream, the generator from the fakes.

    A weight kept as state may begin at 0 (BEGAN's k), and in a later state the discriminator's side may leave fakes out
    (MAGAN's pretraining).
    """
    for side in SIDES:
        round = tried.round(side, tried.shapes[1])
        grads = gradients_of(total(tried.values(round)), round)
        for stream, grad in zip(round.streams, grads):
            if side == "discriminator" or stream.role == "fake":
                stateful = side == "discriminator" and hasattr(tried.loss, "state_dict")
                seen = grad is not None or (stateful and bool(tried.moment))
                reached = seen and (stateful or (grad is not None and bool((grad != 0).any())))
                assert reached, f"the {side}'s side gives the {stream.role} logits no gradient"
        assert any(grad is not None and bool((grad != 0).any()) for grad in grads), (
            f"the {side}'s side gives no logits a gradient"
        )


@in_each_state
def check_number_formats(tried: Tried) -> None:
    """float64 logits give float64 values; bfloat16 logits, as mixed precision brings them, give finite ones."""
    shape = tried.shapes[1]
    for side in SIDES:
        for value in tried.values(tried.round(side, shape, dtype=torch.float64)).values():
            assert value.dtype == torch.float64, f"the {side}'s side turns float64 into {value.dtype}"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for value in tried.values(tried.round(side, shape, dtype=torch.bfloat16)).values():
                assert value.is_floating_point() and bool(value.isfinite().all()), (
                    f"the {side}'s side fails in bfloat16"
                )


@in_each_state
def check_is_a_function_of_the_round(tried: Tried) -> None:
    """The same round gives the same values, and is left as it was."""
    for side in SIDES:
        round = tried.round(side, tried.shapes[0])
        before = [stream.logits.detach().clone() for stream in round.streams]
        first, second = total(tried.values(round)), total(tried.again().values(round))
        assert torch.equal(first, second), f"the {side}'s side gives two values for the same round"
        assert all(torch.equal(old, stream.logits) for old, stream in zip(before, round.streams)), (
            f"{side}: logits are changed in place"
        )


# --- targets ----------------------------------------------------------------------------------------------------


@in_each_state
def check_generator_ignores_targets(tried: Tried) -> None:
    """Targets belong to the discriminator's side: label tricks never reach the generator."""
    plain, marked = (tried.round("generator", tried.shapes[0]) for _ in range(2))
    for stream in marked.streams:
        stream.target = torch.full_like(tried.score(marked, stream.logits), math.nan, requires_grad=False)
    assert torch.equal(total(tried.values(plain)), total(tried.values(marked))), (
        "the generator's side reads stream.target"
    )


@in_each_state
def check_targets_agree_with_provides(tried: Tried) -> None:
    """``targets`` returns numbers, or schedules of them, if the loss provides "targets", else None."""
    found = [tried.loss.targets(role) if hasattr(tried.loss, "targets") else None for role in ("real", "fake")]
    if "targets" in tried.loss.provides:
        assert all(isinstance(target, int | float | Scheduled) for target in found), f"targets returns {found}"
        real, fake = (Round(GAME, "discriminator", []).now(target) for target in found if target is not None)
        assert math.isfinite(real) and math.isfinite(fake), f"targets returns {found}"
        assert real != fake, "real and fake samples have the same target, so there is nothing to learn"
    else:
        assert found == [None, None], f'targets returns {found}, but the loss does not provide "targets"'


@when(provides("targets"))
@in_each_state
def check_targets_are_used(tried: Tried) -> None:
    """The discriminator's side compares with ``stream.target``, which tricks change, not with numbers of its own."""
    plain, moved = (tried.round("discriminator", tried.shapes[0]) for _ in range(2))
    for stream in moved.streams:
        assert stream.target is not None
        stream.target = stream.target + 0.25
    for one, other in zip(tried.values(plain).values(), tried.values(moved).values()):
        assert not torch.equal(one, other), "another target changes nothing: use stream.target"


# --- which samples a value depends on ---------------------------------------------------------------------------


@when(provides("per-sample-generator"))
@in_each_state
def check_generator_scores_each_sample_alone(tried: Tried) -> None:
    """As "per-sample-generator" promises, a sample's value depends on no logits but its own and those of its pair."""
    round = tried.round("generator", tried.shapes[1])
    for value in tried.values(round).values():
        for grad in gradients_of(value[0].sum(), round):
            assert grad is None or not bool(grad[1:].any()), "the value of sample 0 depends on the logits of others"


def check_batch_coupling_is_declared(plugin: Plugin) -> None:
    """A loss provides "batch-coupled" if, and only if, a sample's value changes with other samples of the batch.

    A loss that learns how strongly may begin with samples apart, so each of its states is tried.
    """
    found = [(tried, side) for tried in states_of(plugin) for side in SIDES if _is_coupled(tried, side)]
    if "batch-coupled" in plugin.part.make().provides:
        assert found, 'the loss provides "batch-coupled", but each value depends on its own sample'
        return
    for tried, side in found:
        raise AssertionError(
            f"{tried.moment}values of the {side}'s side change with other samples, "
            'so the loss has to provide "batch-coupled"'
        )


def _is_coupled(tried: Tried, side: Side) -> bool:
    """Whether the value of sample 0 changes when the logits of all others do, however little."""
    one = tried.round(side, tried.shapes[1], dtype=torch.float64)
    logits: dict[Role, Tensor] = {
        stream.role: torch.cat([stream.logits[:1], tried.logits(tried.shapes[1], 7 + k, dtype=torch.float64)[1:]])
        for k, stream in enumerate(one.streams)
    }
    pairs = zip(tried.values(one).values(), tried.values(tried.round_with(side, logits)).values())
    return any(not torch.allclose(value[0], changed[0], rtol=1e-10, atol=1e-12) for value, changed in pairs)


# --- the score --------------------------------------------------------------------------------------------------


@in_each_state
def check_names_of_the_score(tried: Tried) -> None:
    """What the loss provides about its score has names that tricks know, and is consistent."""
    provided = {name for name in tried.loss.provides if name.startswith("logit:")}
    assert provided <= OF_SCORES, (
        f"no trick uses {', '.join(sorted(provided - OF_SCORES))}; the names are {', '.join(sorted(OF_SCORES))}"
    )
    assert "logit:probability" not in provided or "logit:signed" in provided, (
        "sigmoid(0) = 1/2 is undecided: a logit:probability is logit:signed, too"
    )
    assert not {"logit:signed", "logit:relative"} <= provided, (
        "if only differences of scores matter (logit:relative), 0 means nothing (logit:signed)"
    )
    assert tried.numbers == 1 or hasattr(tried.loss, "score"), (
        f"of {tried.numbers} numbers a sample, ``score`` has to make one"
    )


@in_each_state
def check_score_rows(tried: Tried) -> None:
    """``score`` gives one finite number a sample or patch, in the number format of the logits."""
    for side in SIDES:
        for shape in tried.shapes:
            for dtype in (torch.float32, torch.float64):
                round = tried.round(side, shape, dtype=dtype)
                for stream in round.streams:
                    score = tried.score(round, stream.logits)
                    one_each = (
                        score.dim() > 0
                        and score.shape[0] == ROWS
                        and score.numel() == stream.logits.numel() // tried.numbers
                    )
                    assert one_each, f"logits {shape}: a score of shape {tuple(score.shape)}"
                    assert bool(score.isfinite().all()), f"logits {shape}: scores are not finite"
                    assert score.dtype == dtype, f"the score turns {dtype} into {score.dtype}"
                    if "logit:energy" in tried.loss.provides:
                        assert torch.equal(score, -stream.logits), "the score of an energy is minus the energy"


@in_each_state
def check_larger_is_more_real(tried: Tried) -> None:
    """A step down the discriminator's loss, from equal logits, raises real samples' score over the fakes'."""
    for shape in tried.shapes:
        real = tried.logits(shape, 0, dtype=torch.float64)
        fake = real.detach().flip(0).requires_grad_()  # the same numbers, but no two equal ones in a pair
        round = tried.round_with("discriminator", {"real": real, "fake": fake})
        before = gap_of(tried, round)
        grads = gradients_of(total(tried.values(round)), round)
        for stream, grad in zip(round.streams, grads):
            stream.output = DiscriminatorOutput(stream.logits.detach() - 1e-3 * (0 if grad is None else grad))
        after = gap_of(tried, round)
        assert after > before, (
            f"logits {shape}: the discriminator learns, and real samples' scores fall below fakes'; "
            "is the sign of `score` right?"
        )


def gap_of(tried: Tried, round: Round) -> float:
    """Mean score of the real samples minus that of the fakes."""
    real, fake = (tried.score(round, stream.logits).mean() for stream in (round.real, round.fake))
    return float((real - fake).detach())


@when(provides("logit:signed"))
@in_each_state
def check_score_zero_is_undecided(tried: Tried) -> None:
    """As "logit:signed" promises: where real and fake samples are equally frequent, a score of 0 cannot be improved."""
    logits = tried.logits(tried.shapes[0], 0, dtype=torch.float64)
    round = tried.round_with("discriminator", {"real": logits, "fake": logits})
    minimise(lambda: tried.score(round, logits).square().mean(), logits)
    assert float(tried.score(round, logits).detach().abs().max()) < 1e-3, "no logits have the score 0"
    both, real = (
        torch.autograd.grad(total(tried.values(round), fake=weight), logits)[0].abs().max() for weight in (1.0, 0.0)
    )
    assert float(both) < 1e-2 * float(real), (
        "at score 0 the discriminator's loss has a slope, although real and fake samples are equally frequent"
    )


@when(provides("logit:probability"))
@in_each_state
def check_score_is_a_probability(tried: Tried) -> None:
    """As "logit:probability" promises: where a share p of the samples is real, the best score has the sigmoid p."""
    for p in (0.2, 0.5, 0.9):
        found = best_score(tried, p).sigmoid()
        assert torch.allclose(found, torch.full_like(found, p), atol=1e-3), (
            f"where {p:.0%} are real, the best score's sigmoid is {found[0]:.3f}"
        )


def best_score(tried: Tried, p: float) -> Tensor:
    """The score (B,) that serves the discriminator best on samples of which a share p is real."""
    logits = tried.logits(tried.shapes[0], 0, dtype=torch.float64)
    round = tried.round_with("discriminator", {"real": logits, "fake": logits})
    minimise(lambda: total(tried.values(round), real=p, fake=1 - p), logits)
    return tried.score(round, logits).detach()


@when(provides("logit:relative"))
@in_each_state
def check_only_differences_matter(tried: Tried) -> None:
    """As "logit:relative" promises: a number added to all logits changes nothing on either side."""
    for side in SIDES:
        one = tried.round(side, tried.shapes[0], dtype=torch.float64)
        other = tried.round_with(side, {stream.role: stream.logits + 0.5 for stream in one.streams})
        same = torch.allclose(total(tried.values(one)), total(tried.values(other)))
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
