"""What HTML leaves in a text: entities."""

from __future__ import annotations

import html
import re
from html.entities import html5

# & written as &amp; any number of times is one &: text escaped twice is met in the wild.
ENTITY = re.compile(
    r"&(?:amp;|#38;|#x26;)*+(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});|&(?:(?:amp|#38|#x26);)++"
)
"""A character reference with its semicolon, escaped however often. Without one it is rather a URL or R&D."""

_SIGNS = dict.fromkeys(map(ord, "&<[\\"), " ")


_USUAL = frozenset({
    "amp", "apos", "bdquo", "bull", "cent", "copy", "deg", "emsp", "ensp", "euro", "frac12", "frac14", "frac34", "ge",
    "gt", "hellip", "laquo", "ldquo", "le", "lrm", "lsaquo", "lsquo", "lt", "mdash", "middot", "minus", "nbsp", "ndash",
    "para", "permil", "plusmn", "quot", "raquo", "rdquo", "reg", "rlm", "rsaquo", "rsquo", "sbquo", "sect", "shy",
    "sup2", "sup3", "thinsp", "times", "trade", "zwj", "zwnj",
})  # fmt: skip
"""Names that editors write into prose. The others may be a variable whose address C takes: ``p = &pi;``."""
_ADDRESS = re.compile(r"[=(,&*]\s?&[a-z]")


def entities(text: str) -> str:
    """&quot; and &#1078; are the characters they stand for; names that HTML does not know stay, and addresses in C."""
    if "&" not in text:
        return text
    if _ADDRESS.search(text):
        names = [match[1] for match in ENTITY.finditer(text)]
        if all(name and name[0] != "#" and name not in _USUAL for name in names):
            return text
    return ENTITY.sub(_character, text)


def defuse(text: str) -> str:
    """Blanks for the signs that markup begins with, in a text whose markup is nested deeper than any honest one."""
    return text.translate(_SIGNS)


def character(name: str) -> str | None:
    """What a reference's name (``#1078`` or ``quot``) stands for, or None if HTML has no such name."""
    return html.unescape(f"&{name};") if name.startswith("#") else html5.get(f"{name};")


def _character(match: re.Match[str]) -> str:
    name = match[1]
    if name is None:
        return "&"
    found = character(name)
    return f"&{name};" if found is None else found
