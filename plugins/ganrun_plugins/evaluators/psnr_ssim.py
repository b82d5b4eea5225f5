"""How close images are to what they ought to equal: peak signal-to-noise ratio and SSIM.

PSNR = 20 log10(255 / rmse) in dB, on images of 256 levels, and its mean over images; SSIM (Wang et al. 2004, see _ssim)
with a data range of 255; 4 pixels cropped on every side. The name of a score says what it looked at: ``rgb`` is all
three channels of a colour image, ``y`` its luminance, on which wrong colours cost nothing. Papers on super-resolution
take Y (Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial network", 2017):
``channel: y``. It is Y of ITU-R BT.601 in the studio range, as MATLAB's rgb2ycbcr has it: Y = 16 + 65.481 R + 128.553 G
+ 24.966 B for colours in [0, 1], which spans 16 to 235 only, so that a uniform error scores 1.3 dB more on Y than on
RGB. Images of one channel are luminance already and are taken as they are.

Differences from well-known code: MATLAB rounds Y to whole numbers, here it is not rounded. Pairs without any error have
an infinite PSNR; they are left out of its mean, and the score says how many there were (infinite if all are).

Both numbers reward blur: a generator that looks sharper often scores less (the paper's own finding), so they say how
faithful an image is, not how real it looks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Reason, Refusal, UserError, hookimpl
from ganrun.plugin.evaluation import Evaluation, Least, Score, of_rows
from ganrun_plugins.evaluators._fidelity import channel_of, fidelity, mean_psnr
from ganrun_plugins.evaluators._ssim import conditions


class PsnrSsim:
    """``PAIR.psnr.rgb`` in dB and ``PAIR.ssim.rgb``, for each kind of pair; NaN while what was made is not finite.

    In place of ``rgb`` it is ``y`` of grey images or luminance, ``rgba`` or ``N-channels`` of others. Pairs are what
    the variant makes and the real images it ought to equal, a data set's hidden pairs, or the files of two folders that
    have the same names.
    """

    needs = {
        "pairs|hidden-pairs": Reason(
            "it compares images with what they ought to equal, and neither this variant nor this "
            "data set has such pairs",
            "variant: cyclegan, dataset: restyled-digits, or an evaluator of sets such as frechet-distance",
        )
    }

    least: ClassVar[Sequence[Least]] = (Least("test", 1, "a mean"),)

    def __init__(
        self,
        *,
        channel: Annotated[
            Literal["y", "rgb"] | None,
            Field(description="luminance (BT.601), or all channels; null: all, and grey is luminance"),
        ] = None,
        border: Annotated[
            int, Field(ge=0, description="pixels cropped on every side; papers take the factor of enlargement")
        ] = 4,
    ) -> None:
        self.channel = channel
        self.border = border

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        description = experiment.description
        hidden = hasattr(experiment.dataset, "hidden_pairs")
        if hidden and not (description.conditional or description.pairs):
            why = (
                "the hidden pairs are true answers to given images, and this variant makes samples from "
                "latents, which answer none"
            )
            raise Refusal(why, "a variant that translates, or an evaluator of sets such as frechet-distance")
        entries = {*description.pairs.values(), *(description.outputs if hidden else ())}
        if not entries:
            return  # refused because there are no pairs
        spaces = [
            space for name, space in experiment.dataset.spaces.items() if name in entries and space.kind == "image"
        ]
        if not spaces:
            raise Refusal(
                "it compares images, and what there are pairs of is not images", "an evaluator of features: pixels"
            )
        for space in spaces:
            if min(space.shape[-2:]) <= 2 * self.border:
                raise Refusal(f"a border of {self.border} pixels on every side leaves nothing of {space}", "border: 0")
            if self.channel == "y" and space.shape[0] not in (1, 3):
                raise Refusal(f"BT.601 defines the luminance of grey and of RGB images, not of {space}", "channel: rgb")

    @staticmethod
    def as_recorded(parameters: Mapping[str, Any], shape: Sequence[int]) -> dict[str, Any]:
        """Parameters with the channel that images of a shape were compared on: what decides whether scores compare."""
        return {**parameters, "channel": channel_of(parameters.get("channel"), shape[0])} if shape else {**parameters}

    @staticmethod
    def names_now(names: Collection[str], parameters: Mapping[str, Any]) -> dict[str, str]:
        """Former name of a score -> its name now: they did not say the channel, and an output that answers a hidden
        pair, ``b``, was there as ``a-to-b``, too.
        """
        found = {}
        for name in names:
            who, _, key = name.rpartition(".")
            if key in ("psnr", "ssim"):
                pair = who.rpartition(".")[2]
                twin = next((other for other in names if other.endswith(f"-to-{pair}.{key}")), "")
                found[name] = f"{twin or name}.{parameters.get('channel', 'y')}"
        return found

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        scores: dict[str, float | Score] = {}
        for name, (made, truth) in evaluation.pairs(evaluation.samples).items():
            if truth.dim() == 4:
                scores |= {f"{name}.{key}": score for key, score in self._pair(made, truth).items()}
        if not scores:
            raise UserError(
                "psnr-ssim: there are no pairs of images that ought to be equal; "
                "give two folders with files of the same names, or a data set with hidden pairs"
            )
        return scores

    def _pair(self, made: Tensor, truth: Tensor) -> dict[str, Score]:
        channel = channel_of(self.channel, truth.shape[1])
        if not bool(made.isfinite().all()):
            return {f"psnr.{channel}": Score(math.nan), f"ssim.{channel}": Score(math.nan)}
        ratios, likeness = fidelity(made, truth, channel=self.channel, border=self.border)
        score = of_rows(likeness)
        size = [side - 2 * self.border for side in truth.shape[-2:]]
        method = "; ".join(filter(None, [score.method, conditions(size[0], size[1], several=False)]))
        return {f"psnr.{channel}": mean_psnr(ratios), f"ssim.{channel}": replace(score, method=method)}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "psnr-ssim", PsnrSsim)
