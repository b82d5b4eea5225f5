"""37 kinds of bad, odd or doubled pictures, each made once from a seed, among pictures that are as they should be."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

WIDE, HIGH = 96, 80


def picture(draw: np.random.Generator, width: int = WIDE, height: int = HIGH) -> Image.Image:
    """Coloured blots over a gradient: no two are alike."""
    coarse = draw.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    fine = draw.integers(0, 24, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(np.clip(np.asarray(image).astype(np.int64) + fine, 0, 255).astype(np.uint8))


def cut(path: Path, share: float) -> None:
    """Keep the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def png16(path: Path, values: np.ndarray) -> None:
    """(H, W, 3) uint16 as a PNG file, which PIL does not write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


class Maker:
    """Makes the kinds in a folder; ``twin`` is one of the good pictures there, of which doubles are made."""

    def __init__(self, folder: Path, twin: Path, seed: int) -> None:
        self.folder = folder
        self.twin = twin
        self.draw = np.random.default_rng(seed)

    def new(self, *size: int) -> Image.Image:
        """A new picture."""
        return picture(self.draw, *size)

    def saved(self, name: str, image: Image.Image | None = None, **options: object) -> Path:
        """A file with a new picture, or this one."""
        (image or self.new()).save(self.folder / name, **options)  # type: ignore[arg-type]
        return self.folder / name

    def written(self, name: str, data: bytes) -> Path:
        """A file with these bytes."""
        (self.folder / name).write_bytes(data)
        return self.folder / name

    def array(self, name: str, values: np.ndarray) -> Path:
        """An .npy file."""
        np.save(self.folder / name, values)
        return self.folder / name


def cut_jpeg(make: Maker) -> Path:
    path = make.saved("cut.jpg", quality=90)
    cut(path, 0.6)
    return path


def cut_png(make: Maker) -> Path:
    path = make.saved("cut.png")
    cut(path, 0.5)
    return path


def damaged_middle(make: Maker) -> Path:
    path = make.saved("damaged.png")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path.write_bytes(data)
    return path


def cut_animation(make: Maker) -> Path:
    path = make.saved("cut.gif", save_all=True, append_images=[make.new(), make.new()])
    cut(path, 0.7)
    return path


def turned(make: Maker) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    return make.saved("turned.jpg", exif=exif)


def palette_with_alpha(make: Maker) -> Path:
    image = make.new().quantize(64)
    return make.saved("palette.png", image, transparency=0)


def with_alpha(make: Maker) -> Path:
    image = make.new().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return make.saved("alpha.png", image)


def broken_link(make: Maker) -> Path:
    path = make.folder / "broken_link.png"
    path.symlink_to("nowhere.png")
    return path


def pipe(make: Maker) -> Path:
    os.mkfifo(make.folder / "pipe.png")
    return make.folder / "pipe.png"


def not_permitted(make: Maker) -> Path:
    path = make.saved("not_permitted.png")
    path.chmod(0)
    return path


def locked_folder(make: Maker) -> Path:
    path = make.folder / "locked"
    path.mkdir()
    path.chmod(0)
    return path


def same_bytes(make: Maker) -> Path:
    return Path(shutil.copyfile(make.twin, make.folder / "same_bytes.jpg"))


def same_in_test(make: Maker) -> Path:
    return Path(shutil.copyfile(make.twin, make.folder.parents[1] / "test" / make.folder.name / "same_in_test.jpg"))


def deep_colour(make: Maker) -> Path:
    path = make.folder / "deep_colour.png"
    png16(path, np.asarray(make.new()).astype(np.uint16) * 200)
    return path


def brighter(make: Maker) -> Path:
    with Image.open(make.twin) as image:
        return make.saved("brighter.jpg", ImageEnhance.Brightness(image).enhance(1.15))


def smaller(make: Maker) -> Path:
    with Image.open(make.twin) as image:
        return make.saved("smaller.jpg", image.resize((60, 50)))


def other_quality(make: Maker) -> Path:
    with Image.open(make.twin) as image:
        return make.saved("other_quality.webp", image, quality=50)


def twelve_bits(make: Maker) -> Path:
    values = np.asarray(make.new().convert("L")).astype(np.uint16) * 16
    return make.saved("twelve_bits.png", Image.fromarray(values))


def nan_tiff(make: Maker) -> Path:
    values = np.asarray(make.new().convert("F")).copy()
    values[3, 4] = np.nan
    return make.saved("nan.tif", Image.fromarray(values))


def nan_array(make: Maker) -> Path:
    values = np.asarray(make.new()).astype(np.float32)
    values[0, 0, 0] = np.inf
    return make.array("nan.npy", values)


# Kind -> (how one is made, a word that the report has to say of it).
KINDS: dict[str, tuple[Callable[[Maker], Path], str]] = {
    "JPEG cut off": (cut_jpeg, "truncated"),
    "PNG cut off": (cut_png, ""),
    "PNG damaged in the middle": (damaged_middle, ""),
    "animation cut off": (cut_animation, ""),
    "empty file": (lambda make: make.written("empty.jpg", b""), "empty"),
    "zero bytes throughout": (lambda make: make.written("zeros.jpg", bytes(5000)), ""),
    "text named .jpg": (lambda make: make.written("text.jpg", b"not found\n" * 20), "text"),
    "web page named .png": (lambda make: make.written("page.png", b"<!DOCTYPE html>\n<html><body>404"), "web page"),
    "pointer of Git LFS": (
        lambda make: make.written("pointer.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
        "Git LFS",
    ),
    "zip archive named .tif": (lambda make: make.written("archive.tif", b"PK\x03\x04" + bytes(60)), "zip"),
    "broken link": (broken_link, "link to nothing"),
    "pipe": (pipe, "pipe"),
    "file that may not be read": (not_permitted, "ermi"),
    "folder that may not be listed": (locked_folder, "ermi"),
    "decompression bomb": (lambda make: make.saved("bomb.png", Image.new("L", (20_000, 20_000))), "decompression bomb"),
    "PNG named .jpg": (lambda make: make.saved("wrong.jpg", format="PNG"), "says another format"),
    "JPEG named .dat": (lambda make: make.saved("photo.dat", format="JPEG"), "JPEG images"),
    "CMYK": (lambda make: make.saved("print.jpg", make.new().convert("CMYK")), "print"),
    "16 bits of grey": (twelve_bits, "8 bits"),
    "16 bits of three colours": (deep_colour, "8 bits"),
    "floats": (lambda make: make.saved("float.tif", make.new().convert("F")), "8 bits"),
    "NaN in a TIFF": (nan_tiff, "finite"),
    "infinity in an .npy file": (nan_array, "finite"),
    "pickle in an .npy file": (lambda make: make.array("pickle.npy", np.array([{"a": 1}], object)), "pickle"),
    "palette with transparency": (palette_with_alpha, "transparency"),
    "alpha channel": (with_alpha, "transparency"),
    "turned by EXIF": (turned, "turned"),
    "animation": (lambda make: make.saved("film.gif", save_all=True, append_images=[make.new()]), "several frames"),
    "1 x 1": (lambda make: make.saved("one.png", make.new(1, 1)), "a side of less"),
    "huge": (lambda make: make.saved("huge.jpg", make.new(6000, 4000)), "million pixels"),
    "12 times as wide as high": (lambda make: make.saved("strip.png", make.new(600, 50)), "as long on one side"),
    "one colour throughout": (
        lambda make: make.saved("blank.png", Image.new("RGB", (WIDE, HIGH), "white")),
        "one value",
    ),
    "same bytes": (same_bytes, "same bytes"),
    "same bytes in train and test": (same_in_test, "in more than one split"),
    "same picture, smaller": (smaller, "same look"),
    "same picture, brighter": (brighter, "same look"),
    "same picture, other format and quality": (other_quality, "same look"),
}
