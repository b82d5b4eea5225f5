"""Parameters of how image files are read, which the data sets of files share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

Range = Annotated[
    tuple[float, float] | None,
    Field(
        description="values of the files that become -1 and 1, such as [0, 4095]; null: 0 to 255 of 8 bits, and of "
        "more bits what is measured"
    ),
]
Frames = Annotated[
    Literal["first", "all"], Field(description="of files with several frames or pages: the first, or each as an item")
]
BadImages = Annotated[
    Literal["fail", "skip"],
    Field(description="fail: those that cannot be read are named before the first step; skip: they are left out"),
]
