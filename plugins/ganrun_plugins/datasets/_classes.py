"""What published sets of labelled images share: the classes that are kept, and what is known before a download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from ganrun.plugin import Space
from ganrun.plugin.data import DataDescription, InMemory, selected_classes
from ganrun_plugins.datasets._fit import Rule, Sides, image_space
from ganrun_plugins.datasets._resize import fitted
from ganrun_plugins.datasets._scans import only


class PublishedClasses(InMemory):
    """``x``: images (channels, height, width). ``label``: the class.

    names: of the classes. per_class: split -> how many images of each there are, or about as many.
    """

    offline = False
    channels: ClassVar[int]
    names: ClassVar[Sequence[str]]
    per_class: ClassVar[Mapping[str, int]]

    def __init__(
        self,
        images: Tensor,
        label: Tensor,
        *,
        size: Sides,
        resize: Rule,
        classes: Sequence[str | int] | None,
        mode: str,
    ) -> None:
        images, label, kept = only(images, label, classes, self.names)
        super().__init__({"x": fitted(images, size, mode, resize), "label": label}, self._spaces(size, kept), kept)

    @classmethod
    def describe(
        cls, split: str, *, root: str | None, size: Sides, classes: list[str | int] | None, **_: Any
    ) -> DataDescription | None:
        """Spaces and length before the download; None for a folder of one's own."""
        kept = [cls.names[i] for i in selected_classes(cls.names, classes)]
        return (
            None
            if root is not None
            else DataDescription(cls._spaces(size, kept), len(kept) * cls.per_class[split], kept)
        )

    @classmethod
    def known_spaces(cls, *, size: Sides, classes: list[str | int] | None, **_: Any) -> dict[str, Space]:
        """Entries, which follow from the parameters: networks are built where the files are not."""
        return cls._spaces(size, [cls.names[i] for i in selected_classes(cls.names, classes)])

    @classmethod
    def _spaces(cls, size: Sides, kept: Sequence[str]) -> dict[str, Space]:
        return {"x": image_space(cls.channels, size), "label": Space("labels", (), len(kept))}
