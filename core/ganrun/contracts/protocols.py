"""What each kind of plugin has to offer: who calls what, when, with which shapes.

These are typing protocols: a plugin need not inherit from anything. Constructors follow one rule. Positional
parameters are handed in by the core; keyword-only parameters, typed and bounded, are what a recipe may set::

    class Wasserstein:
        def __init__(
            self, *, drift: Annotated[float, Field(ge=0, description="weight of the squared logit")] = 0.0
        ) -> None: ...

Every kind may declare capabilities as class attributes (or set them in the constructor): ``provides`` (a set of names),
``needs`` and ``refuses`` (name -> :class:`Reason`: refused without, or with, it), ``wants`` and ``warns`` (likewise,
but warned of). See docs/plugins/capabilities.md for the names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ganrun.words.spaces import Space

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ganrun.engine.turn import Turn
    from ganrun.evaluation.evaluation import Evaluation
    from ganrun.evaluation.least import Least
    from ganrun.evaluation.scores import Score
    from ganrun.experiment.experiment import Experiment
    from ganrun.randomness import Draws, ItemDraws
    from ganrun.schedule import Scheduled
    from ganrun.words.game import Description, DiscriminatorOutput, Round, Stream, Term


class Generator(Protocol):
    """A network from one space to another, such as one that makes samples.

    An nn.Module with ``__init__(self, interface, *, parameters...)``.

    ``takes`` and ``makes`` are the kinds of space it can serve, such as ``{"latent"}`` and ``{"image"}``; any other is
    refused before training. The constructor raises :class:`Refusal` for a shape it cannot serve. It is built on
    torch's meta device first, so it must not read values of tensors.

    One that offers its hidden layers provides ``layers``: called with ``layers=True`` it returns :class:`Layers`, the
    same output and the activations by name, which are the same names in every call.
    """

    @property
    def takes(self) -> frozenset[str]:
        """Kinds of space of its input."""

    @property
    def makes(self) -> frozenset[str]:
        """Kinds of space of its output."""

    def __call__(self, x: Tensor, *given: Tensor) -> Tensor:
        """(B, *takes.shape) -> (B, *makes.shape); images in [-1, 1]. Called by the variant's ``make``."""


class Discriminator(Protocol):
    """A network that scores samples: an nn.Module with ``__init__(self, interface, *, parameters...)``.

    ``takes`` are the kinds of space it can serve. Its first layer takes ``interface.pack`` samples joined along the
    channels (images) or the coordinates (points). It returns logits: no sigmoid at the end.
    """

    @property
    def takes(self) -> frozenset[str]:
        """Kinds of space of its input."""

    def __call__(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        """(B, *takes.shape) -> logits (B, ...), features and heads. Called by ``turn.discriminate`` only."""


class Loss(Protocol):
    """What the two sides of a game minimise. It sees whole rounds, so that it may compare real with fake samples.

    ``real_in_generator``: the generator's side needs the real stream, too. Numbers may be scheduled:
    ``round.now(value)``. Its events come for the rounds of all games; in its own ``round.loss is self``.
    Optional: what :class:`TargetedLoss` and :class:`ScoredLoss` have. ``logits``, how many numbers a sample it wants
    from the discriminator (1; more lie on axis 1 of the logits). ``score_sees``, the roles whose logits ``score`` looks
    at besides those it is given.

    Capabilities: ``targets`` if it has targets; ``per-sample-generator`` if the generator's value of a sample depends
    on that sample (or its pair) alone, ``batch-coupled`` if values mix the samples of a batch. Of its score:
    ``logit:signed`` if 0 is undecided, ``logit:probability`` if its sigmoid is the probability of being real,
    ``logit:relative`` if only differences matter, ``logit:unbounded`` if it estimates a distance, ``logit:energy`` if
    it is the negative of an energy.
    """

    @property
    def provides(self) -> frozenset[str]:
        """Its capabilities."""

    @property
    def real_in_generator(self) -> bool:
        """Whether the generator's side compares with real samples."""

    def discriminator(self, round: Round) -> Mapping[Stream, Tensor]:
        """Stream -> values (B, ...), to be minimised by the discriminator's player."""

    def generator(self, round: Round) -> Mapping[Stream, Tensor]:
        """Stream -> values (B, ...), to be minimised by a player that the game is played against."""


class TargetedLoss(Loss, Protocol):
    """A loss that compares the discriminator's logits with a target: it provides ``targets``."""

    def targets(self, role: str) -> float | Scheduled | None:
        """The target of a role, None if this instance has none and so does not provide ``targets``.

        The engine makes ``stream.target``, (B, ...) as the score.
        """


class ScoredLoss(Loss, Protocol):
    """A loss whose logits are not the discriminator's score themselves."""

    def score(self, round: Round, logits: Tensor) -> Tensor:
        """Logits -> the discriminator's score (B, ...), larger is more real."""


class Sampler(Protocol):
    """Draws latents."""

    def sample(self, draws: Draws, purpose: str, n: int, space: Space) -> Tensor:
        """n rows of this process, (n, \\*space.shape). Called by ``turn.draw_latent`` in training and sampling."""


class LabelSampler(Sampler, Protocol):
    """A sampler that draws labels, too: else all classes are equally likely."""

    def labels(self, draws: Draws, purpose: str, n: int, space: Space) -> Tensor:
        """n rows of labels (n, \\*space.shape), int64. Called by ``turn.draw_labels``."""


class Optimizer(Protocol):
    """Makes one torch optimiser per player. ``lr`` is a :class:`~ganrun.schedule.Scheduled`, applied before each turn.

    Lazy regularisation slows rates down: with c turns of the loss among all turns of a player, lr becomes c lr, and
    every decay of a running mean (betas, alpha, momentum) its c-th power (Karras et al. 2020, appendix B).
    """

    @property
    def lr(self) -> Scheduled | float:
        """The rate."""

    def make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of one player's parameters, fused where torch can."""


class ScheduledOptimizer(Optimizer, Protocol):
    """An optimiser of which more than ``lr`` may be scheduled."""

    def options(self, now: Callable[[Scheduled | float], float]) -> dict[str, Any]:
        """Entries of torch's parameter groups at this moment, ``lr`` among them."""


class DifferentiableOptimizer(Optimizer, Protocol):
    """An optimiser whose step can be differentiated, which unrolling asks for."""

    def differentiable_step(
        self,
        group: dict[str, Any],
        states: Sequence[dict[str, Tensor]],
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
    ) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """One step as a differentiable function: new parameters and states.

        states: torch's for each parameter, empty before the first step.
        """


class Variant(Protocol):
    """A GAN: what it is made of and which terms it adds. It has no loop, no optimiser, no ``detach``, no device.

    ``defaults`` is a recipe fragment: the paper's choices for every part, which a recipe overrides.
    Optional: ``networks``, recipe key -> kind of plugin, ``generator`` or ``discriminator``, of the networks that it
    asks for under other keys than these two: ``{"encoder": "generator", "classifier": "discriminator"}``.
    """

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The paper's choices."""

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """Networks, players, games and phases for data of these spaces. Raises :class:`Refusal` if it cannot."""

    def sample(self, turn: Turn) -> None:
        """Fill ``turn.latents``: called first in every turn, and when sampling outside training."""

    def make(self, turn: Turn) -> None:
        """Fill ``turn.made`` by running generators on ``turn.latents`` and ``turn.real``."""

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        """Game -> streams for its discriminator, real ones first; only what ``turn.wants``. No heavy work."""

    def terms(self, turn: Turn) -> dict[str, Term]:
        """The variant's own terms of this turn, such as cycle consistency; empty if it has none."""

    def panels(self, turn: Turn) -> Mapping[str, Sequence[Tensor] | Mapping[str, Tensor]]:
        """Images to show: name -> columns of samples, or columns by the names that stand above them.

        One column is shown as a grid, several side by side.
        """


class InferringVariant(Variant, Protocol):
    """A variant whose networks infer something of real items, such as their labels or encodings."""

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """What the networks infer of ``turn.real``, by the names of ``Description.infers``.

        Called outside training only.
        """


class AskedVariant(Variant, Protocol):
    """A variant whose translations can be requested with chosen labels."""

    def ask(self, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        """The labels requested of translations, and whatever other latents follow from them. Raises Refusal."""


class Trick(Protocol):
    """Changes training through events (methods marked ``@hookimpl``, see events.py), knowing no other part by name.

    strength: the name of the parameter that makes it a no-op at 0 (at ``neutral``, if that is another number).
    remedies: names of training problems it helps against. state_dict and load_state_dict are needed by tricks with
    state: nested dicts of tensors, numbers and strings.
    """

    @property
    def strength(self) -> str:
        """The name of its strength parameter; empty if it has none."""


class CostlyTrick(Trick, Protocol):
    """A trick that makes a step much longer, and says so in ``--check``."""

    def cost(self, experiment: Experiment) -> float:
        """What a step costs with it, as a multiple of one without: 1 for nothing."""


class Dataset(Protocol):
    """Real samples. The constructor takes ``(files, split)`` and keyword-only parameters.

    ``files`` is a :class:`DataFiles`; ``split`` is ``train`` or ``test``. ``spaces`` maps each entry of a batch to its
    space: ``{"x": image, "label": labels}``, or ``{"a": image, "b": image}`` for unpaired sets. ``in_memory`` says that
    a batch is one index operation; otherwise batches are read by worker processes.

    Optional: ``order``, how training goes through it: ``shuffled`` (the default), ``computed`` (shuffled as well, with
    nothing kept in memory, as from 2^24 items on), or ``sequential`` (item 0, 1, 2 and so on: rows of a file that is
    read faster in its order, a stream). Sequential data have to be mixed: scores take their first n items for a fair
    draw. Of all others they take n in an order that a key mixes. ``to(device)``, of a set in memory: ``batch`` then
    takes and returns tensors there.

    Optional class method, of what has to be downloaded: ``describe(split, **parameters)`` returns a
    :class:`~ganrun.data.reader.DataDescription` before it is, or None if it cannot tell. Of
    files of one's own: ``known_spaces(**parameters)`` returns what of ``spaces`` follows from the parameters, so that
    weights can be imported where the files are not.

    Optional, for evaluators and features: ``fingerprint()``, a hash of the data; ``subjects``, entry -> what it
    pictures, in words that choose a shipped classifier; ``labelled(name)``, all samples of an entry and their labels
    (N,), if labels are no entry of a batch; ``hidden_pairs()``, entry -> (N, ...) true counterparts, row by row
    (capability ``hidden-pairs``); ``centres`` (M, D) and ``sd`` of a mixture (capability ``modes``). ``label_names``,
    entry of labels -> the names of its values, or of its columns if there are several; ``known_rows``, entry of labels
    -> the range of training items that know it, in the order of ``source``, an entry that says which set an item is of.
    ``known_labels()``, entry of labels -> those of all items (N, ...), where they are known without reading items.
    Of image files: ``preparation``, in words, how they are read and fitted, and ``departs``, whether some are read
    otherwise than PIL's ``convert("RGB")`` does, so that no score is called FID; ``paths``, the files that its items
    are read from, which ``ganrun inspect`` and ``--check`` look at, and which are all read once before training;
    ``skipped``, path -> why a file was left out, which a run keeps in ``skipped_files.txt``; ``ranges``, entry -> the
    two values of its files that -1 and 1 stand for, where that is not 0 and 255.
    """

    @property
    def spaces(self) -> Mapping[str, Space]:
        """Entry of a batch -> its space."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes; empty if there are none."""

    @property
    def in_memory(self) -> bool:
        """Whether a batch is one index operation."""

    def __len__(self) -> int:
        """How many items one epoch has."""

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) int64 -> name -> (B, ...). Images are uint8, or float32 in [-1, 1]; the core normalises uint8."""


class Features(Protocol):
    """Turns samples into feature vectors, for evaluators and terms. ``__init__(self, context, *, parameters...)``.

    ``context`` is an :class:`ganrun.evaluation.evaluation.FeatureContext`: the space, the train split of the data, a
    cache folder. The constructor raises :class:`Refusal` for data it cannot serve, and leaves long work to the first
    call. Its weights are frozen, but a gradient reaches ``x``, for terms that compare features; evaluators run it
    without one.

    Optional: ``maps(x)``, name of a layer -> its feature maps (B, C, H, W) float32, early ones first, differentiable
    in x, the same names in every call. ``classify(x)``, the class of each sample as the data number them, (B,) int64,
    without a gradient. ``logits(x)``, class logits (B, K), of whatever classes. ``preprocessing``, in words, what is
    done to an image before the network sees it. ``called``, evaluator -> what the field calls its score on these
    features, such as FID. ``keep``: False if computing them again costs less than reading them from a file.
    ``beforehand()``: what is done once before the first call, such as training, and about how long that takes, in
    words; empty for nothing.
    """

    @property
    def size(self) -> int:
        """Numbers in a feature vector."""

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *space.shape) -> (B, size) float32, differentiable in x."""

    def fingerprint(self) -> str:
        """A hash of everything that decides the features, such as the weights."""


class Evaluator(Protocol):
    """Scores samples against data. ``needs`` may ask for capabilities of the data set or the variant.

    It may listen to events, too: an evaluator that cannot score this experiment raises :class:`Refusal` in ``build``.
    Its common recipe keys, ``every`` and ``samples``, are read by the core. What it asks ``evaluation`` for (samples,
    splits, extractors) is noted as the provenance of its scores.
    """

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        """Key -> value, with an interval if there is one.

        ``evaluation`` gives fakes, real samples and features, computed once and shared.

        A score is called ``NAME`` for the key "", ``NAME[features]...`` for a key that begins with a bracket, else
        ``NAME.key``.
        """


class PreparingEvaluator(Evaluator, Protocol):
    """An evaluator that makes its extractors itself."""

    def prepare(self, evaluation: Evaluation) -> None:
        """Prepare what scores will take, such as trained classifiers: called once, before training."""


class BoundedEvaluator(Evaluator, Protocol):
    """An evaluator that cannot score any number of samples. A recipe that has fewer is refused before training."""

    @property
    def least(self) -> Sequence[Least]:
        """The fewest samples that it takes, made ones and real ones of a split."""


class Observer(Protocol):
    """Watches a run through the run-level events (see events.py) and changes nothing of its result.

    Optional: ``files``, what it writes in the run's folder: files, folders, or patterns (``samples/step-{step}.png``).
    """


# Kind -> what every plugin of it has, and then what some have.
PROTOCOLS: Mapping[str, tuple[type, ...]] = {
    "variant": (Variant, InferringVariant, AskedVariant),
    "generator": (Generator,),
    "discriminator": (Discriminator,),
    "loss": (Loss, TargetedLoss, ScoredLoss),
    "trick": (Trick, CostlyTrick),
    "sampler": (Sampler, LabelSampler),
    "optimizer": (Optimizer, ScheduledOptimizer, DifferentiableOptimizer),
    "evaluator": (Evaluator, PreparingEvaluator, BoundedEvaluator),
    "features": (Features,),
    "dataset": (Dataset,),
    "observer": (Observer,),
}
