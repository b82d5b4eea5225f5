"""HTML pages: one self-contained file each, readable on a phone, on paper and in dark mode, whatever colours one sees.

A page is a title and blocks; ``block(template, **values)`` fills a template of ``templates/``, where ``parts.html`` has
what several share: tables, bars, pictures, a list that is folded in where it is long. Values are escaped.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from PIL import Image


def page(title: str, *blocks: Markup, note: str = "") -> str:
    """A whole page as HTML. note: a line below the title, such as what it was made of, and when."""
    return _templates().get_template("page.html").render(title=title, note=note, blocks=blocks)


def block(template: str, **values: Any) -> Markup:
    """A part of a page: a file of ``templates/`` with its values filled in."""
    from markupsafe import Markup

    return Markup(_templates().get_template(template).render(**values))


def embedded(picture: Image.Image) -> str:
    """A picture as the text of an ``img`` tag's ``src``: a PNG file if it is small or has few colours, else a JPEG."""
    file = io.BytesIO()
    if picture.mode not in ("L", "RGB") or picture.size[0] * picture.size[1] <= 32 * 32:
        picture.save(file, "PNG")
        kind = "png"
    else:
        picture.save(file, "JPEG", quality=80)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("ganrun.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["grouped"] = lambda number: f"{number:,}"
    made.filters["code"] = _code
    return made


def _code(text: str) -> Markup:
    """Text whose parts between backticks are shown as code."""
    from markupsafe import Markup, escape

    parts = text.split("`")
    if len(parts) % 2 == 0:  # one of them is no pair
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )
