"""The other unpaired sets of the CycleGAN paper, downloaded once: apples and oranges, seasons, painters.

Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (2017). Sizes in bytes,
SHA-256 and numbers of images are those that TensorFlow Datasets recorded (cycle_gan 3.0.0); ``horse2zebra`` is a file
of its own.

| name | a | b | train | test |
|---|---|---|---|---|
| apple2orange | apples | oranges | 995, 1,019 | 266, 248 |
| cezanne2photo | paintings | photographs | 525, 6,287 | 58, 751 |
| facades | photographs | labels | 400, 400 | 106, 106 |
| iphone2dslr-flower | by telephones | by cameras, shallow in focus | 1,812, 3,325 | 569, 480 |
| maps | aerial photographs | maps | 1,096, 1,096 | 1,098, 1,098 |
| monet2photo | paintings | photographs | 1,072, 6,287 | 121, 751 |
| summer2winter-yosemite | summer | winter | 1,231, 962 | 309, 238 |
| ukiyoe2photo | paintings | photographs | 562, 6,287 | 263, 751 |
| vangogh2photo | paintings | photographs | 400, 6,287 | 400, 751 |

Facades and maps began as pairs; here they are unpaired like the others, with a random image of b in training. The van
Gogh folders for training and for testing were recorded with the same number of images and of bytes: take them for the
same paintings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.datasets._archives import Archive, PublishedArchive


class Apple2Orange(PublishedArchive):
    """``a``: apples, ``b``: oranges."""

    archive: ClassVar[Archive] = Archive(
        "apple2orange", 78456409, "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8", 1019, 266
    )


class Cezanne2Photo(PublishedArchive):
    """``a``: paintings by Cezanne, ``b``: photographs of landscapes."""

    archive: ClassVar[Archive] = Archive(
        "cezanne2photo", 279885071, "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff", 6287, 751
    )


class Facades(PublishedArchive):
    """``a``: photographs of facades, ``b``: label maps."""

    archive: ClassVar[Archive] = Archive(
        "facades", 35135868, "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0", 400, 106
    )


class IPhone2DSLRFlower(PublishedArchive):
    """``a``: flowers by telephones, ``b``: flowers by cameras, shallow in focus."""

    archive: ClassVar[Archive] = Archive(
        "iphone2dslr_flower", 339964458, "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113", 3325, 569
    )


class Maps(PublishedArchive):
    """``a``: aerial photographs, ``b``: maps of the same places."""

    archive: ClassVar[Archive] = Archive(
        "maps", 1476754427, "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e", 1096, 1098
    )


class Monet2Photo(PublishedArchive):
    """``a``: paintings by Monet, ``b``: photographs of landscapes."""

    archive: ClassVar[Archive] = Archive(
        "monet2photo", 305231073, "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04", 6287, 751
    )


class Summer2WinterYosemite(PublishedArchive):
    """``a``: Yosemite in summer, ``b``: in winter."""

    archive: ClassVar[Archive] = Archive(
        "summer2winter_yosemite",
        132640856,
        "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
        1231,
        309,
    )


class Ukiyoe2Photo(PublishedArchive):
    """``a``: Japanese woodblock prints, ``b``: photographs of landscapes."""

    archive: ClassVar[Archive] = Archive(
        "ukiyoe2photo", 292946532, "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08", 6287, 751
    )


class VanGogh2Photo(PublishedArchive):
    """``a``: paintings by van Gogh, ``b``: photographs of landscapes."""

    archive: ClassVar[Archive] = Archive(
        "vangogh2photo", 306590349, "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff", 6287, 751
    )


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "apple2orange", Apple2Orange)
    yield Component("dataset", "cezanne2photo", Cezanne2Photo)
    yield Component("dataset", "facades", Facades)
    yield Component("dataset", "iphone2dslr-flower", IPhone2DSLRFlower)
    yield Component("dataset", "maps", Maps)
    yield Component("dataset", "monet2photo", Monet2Photo)
    yield Component("dataset", "summer2winter-yosemite", Summer2WinterYosemite)
    yield Component("dataset", "ukiyoe2photo", Ukiyoe2Photo)
    yield Component("dataset", "vangogh2photo", VanGogh2Photo)
