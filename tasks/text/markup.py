"""What HTML leaves in a text: entities and tags."""

from __future__ import annotations

import html
import re
from html.entities import html5

# & written as &amp; any number of times is one &: text escaped twice is met in the wild.
ENTITY = re.compile(
    r"&(?:amp;|#38;|#x26;)*+(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});|&(?:(?:amp|#38|#x26);)++"
)
"""A character reference with its semicolon, escaped however often. Without one it is rather a URL or R&D."""

INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var",
    "wbr",
})  # fmt: skip
"""Tags inside a word or sentence: they vanish. In place of a block's tag stands a blank, as a browser breaks there."""

_BLOCK = frozenset({
    "address", "area", "article", "aside", "audio", "blockquote", "body", "br", "button", "canvas", "caption",
    "center", "col", "colgroup", "dd", "details", "dialog", "div", "dl", "dt", "embed", "fieldset", "figcaption",
    "figure", "footer", "form", "frame", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr",
    "html", "iframe", "img", "input", "legend", "li", "link", "main", "map", "menu", "meta", "nav", "noscript",
    "object", "ol", "optgroup", "option", "p", "param", "picture", "pre", "script", "section", "select", "source",
    "style", "summary", "svg", "table", "tbody", "td", "template", "textarea", "tfoot", "th", "thead", "title",
    "tr", "track", "ul", "video",
})  # fmt: skip

_ATTRIBUTE = r"""\s+[a-z_:@][\w:.-]*+(?:\s*+=\s*+(?:"[^"<>]*+"|'[^'<>]*+'|[^\s"'<>=`]++))?"""

# No part crosses a < or >, so that no start is tried over more than the stretch to the next one: linear in any text.
TAG = re.compile(
    rf"<(?:/?([a-z][a-z0-9]*+)(?:{_ATTRIBUTE})*+\s*+/?"
    r"|!--[^<>]*--|!doctype\b[^<>]*)>",
    re.IGNORECASE | re.ASCII,
)
"""A tag of any name, a comment or a doctype; group 1 is the name."""


def entities(text: str) -> str:
    """&quot; and &#1078; are the characters they stand for; names that HTML does not know stay."""
    return ENTITY.sub(_character, text) if "&" in text else text


def tags(text: str) -> str:
    """HTML tags and comments vanish, or leave a blank where a browser breaks the line. <3 and vector<int> are none."""
    return TAG.sub(_gap, text) if "<" in text else text


def defuse(text: str) -> str:
    """Blanks for & and <, in a text whose markup is nested deeper than any honest one."""
    return text.replace("&", " ").replace("<", " ")


def character(name: str) -> str | None:
    """What a reference's name (``#1078`` or ``quot``) stands for, or None if HTML has no such name."""
    return html.unescape(f"&{name};") if name.startswith("#") else html5.get(f"{name};")


def _character(match: re.Match[str]) -> str:
    name = match[1]
    if name is None:
        return "&"
    found = character(name)
    return f"&{name};" if found is None else found


def _gap(match: re.Match[str]) -> str:
    name = (match[1] or "br").lower()
    if name in INLINE:
        return ""
    return " " if name in _BLOCK else match[0]
