"""HTML pages that need nothing but themselves."""

import base64
import io

from PIL import Image

from ganrun.pages import block, embedded, page


def test_text_is_escaped_and_blocks_are_not():
    text = page("a < b", block("style.css"), note="x & y")
    assert "<h1>a &lt; b</h1>" in text
    assert "x &amp; y" in text
    assert text.count("--page: #ffffff") == 2  # in the head, and as the block
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


def test_a_picture_is_embedded_as_it_is_or_as_a_photograph():
    for image, kind in ((Image.new("L", (8, 8), 9), "png"), (Image.new("RGB", (64, 64)), "jpeg")):
        head, _, data = embedded(image).partition(",")
        assert head == f"data:image/{kind};base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == image.size
