"""From a template and plain values to HTML. Every value is escaped, and what hides in a text is made visible."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from leaderboard.naming import baseline_name
from leaderboard.pages import figures
from leaderboard.pages.assets import static_url

# Controls, bidirectional overrides, zero-width characters and lone surrogates: agents' texts and their output may carry
# them, to look like something they are not (Boucher & Anderson, "Trojan Source", 2021). Tab and line feed are harmless.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def render(template: str, **values: Any) -> str:
    """The page of a file in `templates/`. A value the template names and nobody gave is an error."""
    return _environment().get_template(template).render(**values)


def visible(value: Any) -> Any:
    """A text with its hidden characters as escapes, e.g. `\\u202e`; anything else as it is."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return value


@lru_cache(maxsize=64)
def prose(text: str) -> Markup:
    """A text in Markdown as HTML, without letting any HTML through.

    Its headings move one level down: the page has a title of its own.
    """
    tokens = _MARKDOWN.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + 1, 6)}"
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("leaderboard.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "baseline_name": baseline_name,
        "count": figures.count,
        "duration": figures.duration,
        "figure": figures.figure,
        "moment": figures.moment,
    }
    environment.globals["static"] = static_url
    return environment
