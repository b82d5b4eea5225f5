"""Two folders of images that are not paired, for unpaired translation: trainA, trainB, testA, testB.

Zhu et al. 2017 (CycleGAN), as in the authors' PyTorch code: training images are stretched to ``load_size`` with a
bicubic filter, cropped at a random place to ``size`` and mirrored half of the time; an epoch has as many items as the
larger folder; item i shows image i of A (counted round) and a random image of B. Here the random image follows
from (seed, epoch, index), and test images are stretched to ``size`` and come in order, B's too.
"""

from __future__ import annotations

from collections.abc import Iterable

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.datasets._unpaired import Unpaired


class UnpairedFolders(Unpaired):
    """``a`` and ``b``: images (channels, height, width) of the two folders."""


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "unpaired-folders", UnpairedFolders)
