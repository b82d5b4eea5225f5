"""Discriminators whose slopes are known, a turn of one, and what a penalty pays in it."""

import torch

from ganrun_plugins.tricks.dragan_penalty import DraganPenalty
from ganrun_plugins.tricks.gradient_penalty import GradientPenalty
from ganrun_plugins.tricks.r1 import R1
from ganrun_plugins.tricks.r2 import R2
from ganrun_plugins.tricks.roth_penalty import RothPenalty
from ganrun_plugins.tricks.zero_centred_penalty import ZeroCentredPenalty

ALL = [GradientPenalty, ZeroCentredPenalty, R1, R2, DraganPenalty, RothPenalty]
REAL, FAKE = torch.tensor([[1.0, 2.0], [0.5, -1.0]]), torch.tensor([[-3.0, 0.0], [4.0, 1.0]])
