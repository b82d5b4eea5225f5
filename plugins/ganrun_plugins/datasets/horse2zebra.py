"""Horses and zebras, the unpaired images of the CycleGAN paper, downloaded once (117 MB).

Zhu et al. 2017; photographs from ImageNet: 1,067 horses (A) and 1,334 zebras (B) to train on, 120 and 140 to test. The
archive comes from the authors' server; its size and SHA-256 are those that TensorFlow Datasets recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.datasets._archives import Archive, PublishedArchive


class Horse2Zebra(PublishedArchive):
    """``a``: horses, ``b``: zebras."""

    archive: ClassVar[Archive] = Archive(
        "horse2zebra", 116867962, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1", 1334, 140
    )


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "horse2zebra", Horse2Zebra)
