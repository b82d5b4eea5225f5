"""Super-resolution beside the bicubic filter: PSNR and SSIM of both, and how far the generator is above.

Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial network" (2016), table 2,
gives bicubic enlargement as the first column: a network that is not above it has learned nothing. PSNR in dB and SSIM
are those of ``psnr-ssim`` (a border cropped on every side, 256 levels), of the same test pictures, and are named in the
same way: the paper's are of luminance, ``channel: y``. The filter is Keys' cubic with a = -1/2, that of Pillow and
MATLAB's imresize; its result is clipped to [-1, 1].

``gain`` is the mean over pictures of the generator's PSNR less the filter's; pairs that are equal without any error are
left out. A generator trained against a discriminator usually gains less than one trained on pixels, which is the
paper's finding.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import Component, Experiment, Reason, Refusal, Space, UserError, hookimpl
from ganrun.plugin.evaluation import Evaluation, Least, Score, of_rows
from ganrun_plugins.evaluators._fidelity import channel_of, fidelity, mean_psnr
from ganrun_plugins.evaluators._ssim import conditions


def enlarged(low: Tensor, height: int, width: int) -> Tensor:
    """(N, C, h, w) in [-1, 1] -> (N, C, height, width) in [-1, 1], by the bicubic filter."""
    # antialias: a = -1/2, else torch's is -3/4
    return F.interpolate(low, (height, width), mode="bicubic", antialias=True).clamp(-1, 1)


def gains(made: Tensor, truth: Tensor, low: Tensor, *, channel: str | None = None, border: int = 4) -> dict[str, Score]:
    """``bicubic.psnr.y``, ``bicubic.ssim.y`` and ``gain.y``: made, truth (N, C, H, W), low (N, C, h, w) in [-1, 1].

    In place of ``y`` it is ``rgb`` of colours, unless ``channel`` says ``y``.

    Raises:
        UserError: for sets that do not go together, see ``psnr-ssim``.
    """
    channel = channel_of(channel, truth.shape[1])
    plain, likeness = fidelity(enlarged(low, *truth.shape[-2:]), truth, channel=channel, border=border)
    height, width = (side - 2 * border for side in truth.shape[-2:])
    ssim = of_rows(likeness)
    method = "; ".join(filter(None, [ssim.method, conditions(height, width, several=False)]))
    scores = {"bicubic.psnr": mean_psnr(plain), "bicubic.ssim": replace(ssim, method=method), "gain": Score(math.nan)}
    if bool(made.isfinite().all()):
        above = fidelity(made, truth, channel=channel, border=border)[0] - plain
        finite = above[above.isfinite()]
        scores["gain"] = of_rows(finite) if len(finite) else scores["gain"]
    return {f"{name}.{channel}": score for name, score in scores.items()}


class SuperResolution:
    """``bicubic.psnr.rgb`` and ``bicubic.ssim.rgb`` of the filter, and ``gain.rgb``, the generator's PSNR above it.

    In place of ``rgb`` it is ``y`` of grey images or luminance.

    The data have entries ``low`` and ``x``. ``gain`` is NaN while what was made is not finite.
    """

    needs = {
        "pairs": Reason(
            "it compares an enlargement with the true image, and this variant's samples have none", "variant: srgan"
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
        spaces, pairs = experiment.dataset.spaces, experiment.description.pairs
        if "low" not in spaces or "x" not in pairs:
            if pairs:  # without pairs it is refused
                raise Refusal(
                    "it compares enlargements of the entry 'low' with the entry 'x'",
                    "dataset: super-resolution-digits, variant: srgan",
                )
            return
        x: Space = spaces["x"]
        if min(x.shape[-2:]) <= 2 * self.border:
            raise Refusal(f"a border of {self.border} pixels on every side leaves nothing of {x}", "border: 0")
        if self.channel == "y" and x.shape[0] not in (1, 3):
            raise Refusal(f"BT.601 defines the luminance of grey and of RGB images, not of {x}", "channel: rgb")

    @staticmethod
    def as_recorded(parameters: Mapping[str, Any], shape: Sequence[int]) -> dict[str, Any]:
        """Parameters with the channel that images of a shape were compared on."""
        return {**parameters, "channel": channel_of(parameters.get("channel"), shape[0])} if shape else {**parameters}

    @staticmethod
    def names_now(names: Collection[str], parameters: Mapping[str, Any]) -> dict[str, str]:
        """Former name of a score -> its name now: they did not say the channel."""
        former = (".bicubic.psnr", ".bicubic.ssim", ".gain")
        return {name: f"{name}.{parameters.get('channel', 'y')}" for name in names if name.endswith(former)}

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        if evaluation.sample_maker is None:
            raise UserError(
                "super-resolution: it enlarges small test images, and pictures in a folder have none; evaluate a run"
            )
        made, truth = evaluation.pairs(evaluation.samples)["x"]
        return gains(made, truth, evaluation.real("low", n=len(made)), channel=self.channel, border=self.border)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "super-resolution", SuperResolution)
