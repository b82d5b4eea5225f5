"""Images that a model makes, in files that hold them wholly: in the wanted format if it does, else PNG, TIFF or numpy.

=============================  ===================================================================
what a model makes             file, unless a wanted format holds it, too
=============================  ===================================================================
1, 3 or 4 channels, 8 bits     PNG: grey, RGB, RGB and alpha
1, 3 or 4 channels, 16 bits    PNG of 16 bits
any other number, or floats    TIFF, of bands as they are: uint8, uint16, or float32
=============================  ===================================================================

Values of 8 bits are whole numbers from 0 to 255. Of another range of values they are whole numbers of 16 bits, if both
ends are whole numbers from 0 to 65,535 that lie at least 255 apart, else float32.

PNG files of several channels of 16 bits are written with the package ``imagecodecs``, TIFF files of bands, or of
several channels of more than 8 bits, with ``tifffile`` (``pip install "ganrun[images]"``). Without them those images
are written as ``.npy``, (C, H, W), with the same numbers.
"""

from __future__ import annotations

import io
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganrun.data.value_range import level_count
from ganrun.files import write

Range = tuple[float, float]
BYTES = 255  # the largest value of 8 bits
PNG, TIFF, NPY = ".png", ".tif", ".npy"
ORIENTATION = 0x0112  # EXIF's tag
COLOURS = {1: "grey", 3: "RGB", 4: "RGB and alpha"}
FORMAT_NAMES = {PNG: "PNG", TIFF: "TIFF", ".tiff": "TIFF", NPY: "an array of numpy"}
TYPE_WORDS = {"uint8": " of 8 bits", "uint16": " of 16 bits", "float32": " of float32"}
FORMAT_CHANNELS = {  # format -> numbers of channels of 8 bits that PIL writes
    "PNG": (1, 3, 4),
    "TIFF": (1, 3, 4),
    "JPEG2000": (1, 3, 4),
    "WEBP": (1, 3, 4),
    "AVIF": (1, 3, 4),
    "JPEG": (1, 3),
    "GIF": (1, 3),
    "BMP": (1, 3),
    "PPM": (1, 3),
}
LOSSY = ("JPEG", "WEBP", "AVIF")
WITH_EXIF = ("PNG", "TIFF", "JPEG", "WEBP", "AVIF")


class Form(NamedTuple):
    """How images of a kind are written. suffix: of their files. why: in words, empty if nothing need be said."""

    suffix: str
    dtype: Literal["uint8", "uint16", "float32"]
    why: str

    def place(self, wanted: Path) -> Path:
        """Where an image goes that is to have this name: the suffix of the form stands in the place of another's."""
        if wanted.suffix.lower() == self.suffix:
            return wanted
        known = wanted.suffix.lower() in (*FORMAT_NAMES, *Image.registered_extensions())
        return wanted.with_suffix(self.suffix) if known else wanted.with_name(wanted.name + self.suffix)


def form_of(channels: int, values: Range | None = None, suffix: str = PNG) -> Form:
    """The form for images of so many channels whose -1 and 1 stand for these values; None: 8 bits, 0 to 255.

    suffix: the wanted one, in small letters, which is taken if such files hold these images.
    """
    dtype = type_of(values)
    found = next(each for each in (suffix, PNG, TIFF, NPY) if holds(each, channels, dtype))
    if found == suffix == ".gif" and channels == 3:
        return Form(found, dtype, "256 colours, as GIF holds no more")
    if dtype == "uint8" and channels in COLOURS and found in (suffix, PNG) and (channels < 4 or suffix in (PNG, found)):
        said = f"the format PNG, as {suffix} is none of those that are written" if found != suffix else ""
        return Form(found, dtype, said)
    what = f"{COLOURS.get(channels, f'{channels} channels')}{TYPE_WORDS[dtype]}"
    if values is not None:
        what += f" ({values[0]:g} to {values[1]:g})"
    if found == suffix:
        return Form(found, dtype, what)
    lacking = [package for package in ("imagecodecs", "tifffile") if find_spec(package) is None]
    cure = '; for other formats: pip install "ganrun[images]"' if lacking and found != PNG else ""
    why = (
        f"{what}, as {FORMAT_NAMES[found]}, since {FORMAT_NAMES.get(suffix, suffix or 'none')} does not hold them{cure}"
    )
    return Form(found, dtype, why)


def type_of(values: Range | None) -> Literal["uint8", "uint16", "float32"]:
    """numpy's type of the values that are written, by what -1 and 1 stand for; None: 8 bits."""
    if values is None:
        return "uint8"
    return "float32" if level_count(values) is None else "uint16" if values[1] > BYTES else "uint8"


def holds(suffix: str, channels: int, dtype: str = "uint8") -> bool:
    """Whether files of a suffix hold images of so many channels of a type, and can be written here."""
    if suffix == NPY:
        return True
    kind = _format(suffix)
    if dtype == "uint8" and channels in FORMAT_CHANNELS.get(kind, ()) and kind in Image.SAVE:
        return True
    if kind == "PNG":
        several = channels in COLOURS and find_spec("imagecodecs") is not None
        return dtype == "uint16" and (channels == 1 or several)
    return kind == "TIFF" and (channels == 1 or find_spec("tifffile") is not None)


def values_of(image: Tensor, dtype: str, values: Range | None = None) -> np.ndarray:
    """(C, H, W) in [-1, 1] -> the values that are written, (C, H, W). What is not a number becomes the least."""
    found = torch.nan_to_num(image.detach().float().cpu(), nan=-1.0)
    if values is None:
        return found.add(1).mul(127.5).round().clamp(0, BYTES).to(torch.uint8).numpy()
    share = found.clamp(-1, 1).add(1).div(2).numpy().astype(np.float64)
    exact = values[0] + share * (values[1] - values[0])
    return (exact.round() if dtype != "float32" else exact).astype(dtype)


def write_image(image: Tensor, place: Path, values: Range | None = None, *, orientation: int = 1) -> Path:
    """Write an image (C, H, W) in [-1, 1] as a whole. Returns its file: ``place`` with the suffix of its form.

    A place whose name has a suffix that holds such images (``.jpg`` for 1 or 3 channels of 8 bits) keeps it.

    orientation: how a viewer has to turn the image, by EXIF's number; of a form that :func:`keeps_orientation`.

    Raises:
        OSError: if the file cannot be written.
    """
    form = form_of(image.shape[0], values, place.suffix.lower())
    place = form.place(place)
    content = _encoded(values_of(image, form.dtype, values), form, orientation)
    place.parent.mkdir(parents=True, exist_ok=True)
    write(place, content)
    return place


def keeps_orientation(form: Form, channels: int) -> bool:
    """Whether a file says how it has to be turned: those that PIL writes in a format with EXIF."""
    return _by_pil(form, channels) and _format(form.suffix) in WITH_EXIF


def _encoded(array: np.ndarray, form: Form, orientation: int) -> bytes:
    """The bytes of a file with these values (C, H, W)."""
    channels, file = len(array), io.BytesIO()
    last = np.ascontiguousarray(array.transpose(1, 2, 0))  # (H, W, C)
    if form.suffix == NPY:
        np.save(file, array, allow_pickle=False)
    elif _by_pil(form, channels):
        kind = _format(form.suffix)
        options: dict[str, Any] = {"quality": 95} if kind in LOSSY else {}
        if orientation != 1 and kind in WITH_EXIF:
            options["exif"] = Image.Exif()
            options["exif"][ORIENTATION] = orientation
        Image.fromarray(last[:, :, 0] if channels == 1 else last).save(file, format=kind, **options)
    elif _format(form.suffix) == "PNG":
        return bytes(import_module("imagecodecs").png_encode(last))
    else:
        # bands that lie one after the other would be pages of their own
        import_module("tifffile").imwrite(
            file,
            last,
            photometric="rgb" if channels in (3, 4) else "minisblack",
            planarconfig="contig",
            extrasamples=["unassalpha"] if channels == 4 else None,
            compression="zlib" if find_spec("imagecodecs") else None,
        )
    return file.getvalue()


def _by_pil(form: Form, channels: int) -> bool:
    return form.suffix != NPY and (channels == 1 or (form.dtype == "uint8" and channels in COLOURS))


def _format(suffix: str) -> str:
    """PIL's name of the format of files with a suffix; empty if it has none."""
    return Image.registered_extensions().get(suffix, "")
