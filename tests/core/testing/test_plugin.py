"""What a check is given: a plugin as a recipe makes it."""

from typing import Annotated

import pytest
from pydantic import Field

from ganrun.schedule import Scheduled
from ganrun.testing import made


def test_a_class_is_made_as_a_recipe_makes_it():
    """Numbers become schedules, what is out of bounds is refused, and the core's arguments go in front."""

    class Stretched:
        def __init__(self, space, *, by: Annotated[Scheduled, Field(ge=0)], twice: bool = False):
            self.given = (space, by, twice)

    assert made(Stretched, "space", by=2).given == ("space", Scheduled(2), False)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        made(Stretched, "space", by=-1)
