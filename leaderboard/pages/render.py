"""From a template and plain values to HTML. Every value is escaped, and what hides in a text is made visible."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from leaderboard.board import BoardKey, RunnerClass
from leaderboard.comparison import headline
from leaderboard.naming import baseline_name
from leaderboard.pages import figures
from leaderboard.pages.assets import static_url

# Controls, formats (bidirectional overrides, zero width, tags), surrogates, private use, unassigned, and separators of
# lines: agents' texts and their output may carry them, to look like something they are not (Boucher & Anderson, "Trojan
# Source", 2021). Tab and line feed are harmless, and so are blanks of other widths, which pages use themselves.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Drawn as nothing though their category says letter, mark or symbol.
_EMPTY = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U00016fe4\U0001d159"
    "\U000e0100-\U000e01ef]"
)
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def render(template: str, **values: Any) -> str:
    """The page of a file in `templates/`. A value the template names and nobody gave is an error."""
    return _environment().get_template(template).render(**values)


def visible(value: Any) -> Any:
    """A text with its hidden characters as escapes, e.g. `\\u202e`; anything else as it is."""
    if isinstance(value, str) and not isinstance(value, Markup):
        hidden = {
            ord(one): f"\\u{ord(one):04x}" if ord(one) < 1 << 16 else f"\\U{ord(one):08x}"
            for one in set(value)
            if one not in "\t\n" and (unicodedata.category(one) in _HIDDEN or _EMPTY.match(one))
        }
        return value.translate(hidden) if hidden else value
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


def board_words(board: BoardKey) -> str:
    """What the results of a board have in common, in a line: `smoke, sandboxed, data 3fa9c1d2, version ab12cd34`."""
    words = [board.scale, board.runner_class.mark or board.runner_class.value]
    if board.runner_class is not RunnerClass.FAKE:
        words.append(f"data {figures.digest(board.data)}")
    return ", ".join([*words, f"version {figures.digest(board.task_version)}"])


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
        "board_words": board_words,
        "count": figures.count,
        "digest": figures.digest,
        "duration": figures.duration,
        "figure": figures.figure,
        "headline": headline,
        "moment": figures.moment,
    }
    environment.globals["static"] = static_url
    return environment
