"""HTML that is meant as markup goes; ``vector<int>``, ``x<y and z>t`` and a tag that a review speaks of stay.

A text loses its tags only if it is HTML by more than one sign. A pair of tags around words is two signs (it opens and
it closes), a ``<br>`` inside a line of words as well (it is there, and where nobody writes it in prose); the name of a
tag among words («тег <table> не объяснили») is none. In such a text these tags go: pairs, elements without an end
(``<br>``; ``<img>`` with attributes), paragraphs and items whose end HTML lets one leave out, and ends without a begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

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
_OFFICE = frozenset({"m", "o", "st1", "v", "w", "x", "xml"})
"""Namespaces of what Word pastes, as in <o:p></o:p>."""
_BREAKS = frozenset({"br", "hr", "wbr"})
_EMPTY = frozenset({"area", "col", "embed", "frame", "img", "input", "link", "meta", "param", "source", "track"})
"""Elements without an end that say nothing without attributes: a bare <img> is spoken of."""
_ENDLESS = frozenset({
    "body", "dd", "dt", "head", "html", "li", "option", "p", "tbody", "td", "tfoot", "th", "thead", "tr",
})  # fmt: skip
"""Elements whose end may be left out (HTML Living Standard, 13.1.2.4)."""
_RAW = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in ("script", "style", "svg")}
"""Elements whose contents no reader of the text sees."""
_BOOLEAN = frozenset({
    "async", "autofocus", "autoplay", "checked", "compact", "controls", "default", "defer", "disabled", "hidden",
    "ismap", "loop", "multiple", "muted", "noshade", "novalidate", "nowrap", "open", "readonly", "required",
    "reversed", "selected",
})  # fmt: skip
"""Attributes that stand without a value: <b and c> has none of them."""

_VALUED = r"""=\s*+(?:"[^"<]*+"|'[^'<]*+'|[^\s"'<>=`]++)"""
_ATTRIBUTE = rf"""\s+[a-z_:@][\w:.-]*+(?:\s*+{_VALUED})?"""

# No part crosses a <, so that no start is tried over more than the stretch to the next one: linear in any text.
TAG = re.compile(
    rf"<(?:(?P<close>/)?(?P<name>[a-z][a-z0-9]*+(?::[a-z][a-z0-9]*+)?)(?P<attributes>(?:{_ATTRIBUTE})*+)\s*+(?P<self>/)?"
    r"|(?P<head>!doctype\b[^<>]*|\?xml\b[^<>]*))>",
    re.IGNORECASE | re.ASCII,
)
"""A tag of any name, or a doctype."""
_BARE = re.compile(rf"\s([a-z_:@][\w:.-]*+)(?!\s*+=)|\s*+{_VALUED}", re.IGNORECASE | re.ASCII)
_IF = r"\[if\b[^\[\]<>]*\]>"
_HIDDEN = re.compile(rf"<!--{_IF}(?!<!-->)")
_HIDDEN_END = "<![endif]-->"
_SHOWN = re.compile(rf"<!--{_IF}(?:<!-->)?|<!{_IF}|(?:<!--)?<!\[endif\](?:--)?>")
"""Marks of a condition whose contents are shown, and of one that lacks its end."""
_WORDS = re.compile(r"[^\W_]|[^\x00-\x7f\s«»„“”‘’—–…№]")
_ENTITY = re.compile(r"&#?\w{1,32};")
_SPOKEN_OF = re.compile(r"(?:\b(?:тег|тэг|элемент|атрибут|tags?\b|elements?\b)[^.!?;\n]*)\Z", re.IGNORECASE)
_COMMENT_SPOKEN_OF = re.compile(r"комментар|закоммент|comment|тег|тэг|html", re.IGNORECASE)
_IN_CODE = re.compile(r"(?:\breturn|=>|\s=)\s*\(?\s*\Z|[(=+,]\s?[\"'`]\Z|`\Z")
"""A program that makes HTML: return <div>…</div>, print("<b>…</b>")."""
_NEAR = 60
"""Characters before a tag in which a word for «tag» says that it is spoken of."""
_GLUED_BEFORE = re.compile(r"[\w.!?,;:…)»>%]")
_GLUED_AFTER = re.compile(r"[\w<]")


@dataclass(slots=True)
class _Tag:
    start: int
    end: int
    name: str
    kind: str
    """open, close, empty (no end is due), raw (a whole <script>), comment, head (doctype)"""
    quoted: bool = False
    """Whether it has attributes with values."""
    partner: int | None = None


def office(text: str) -> str:
    """Word's conditional comments vanish, <!--[if gte mso 9]> with all up to its <![endif]-->."""
    if "[if" not in text and "[endif]" not in text:
        return text
    pieces, place = [], 0
    while begin := _HIDDEN.search(text, place):
        end = text.find(_HIDDEN_END, begin.end())
        if end < 0:
            break
        pieces += [text[place : begin.start()], " "]
        place = end + len(_HIDDEN_END)
    return _SHOWN.sub(" ", "".join([*pieces, text[place:]]))


def tags(text: str) -> str:
    """The tags and comments of a text that is HTML vanish, or leave a blank where a browser breaks the line.

    With <script> and <style> go their contents.
    """
    if "<" not in text:
        return text
    found = list(_tags(text))
    if not found or not _is_html(text, found):
        return text
    pieces, place = [], 0
    for tag in found:
        if _goes(tag):
            pieces += [text[place : tag.start], "" if tag.name in INLINE or ":" in tag.name else " "]
            place = tag.end
    return "".join([*pieces, text[place:]])


def _tags(text: str) -> Iterator[_Tag]:
    """What looks like a tag of HTML, a comment or a doctype, in order, pairs told of each other."""
    found: list[_Tag] = []
    opened: dict[str, list[int]] = {}
    endless: set[str] = set()  # what was sought to the text's end in vain
    place = 0
    while (start := text.find("<", place)) >= 0:
        place = start + 1
        if text.startswith("<!--", start):
            end = -1 if "-->" in endless else text.find("-->", start + 4)
            if end < 0:
                endless.add("-->")
                continue
            found.append(_Tag(start, end + 3, "", "comment"))
            place = end + 3
            continue
        match = TAG.match(text, start)
        tag = _plausible(match) if match else None
        if tag is None:
            continue
        place = tag.end
        if tag.kind == "open" and tag.name in _RAW and tag.name not in endless:
            over = _RAW[tag.name].search(text, tag.end)
            if over:
                tag.kind, tag.end, place = "raw", over.end(), over.end()
            else:
                endless.add(tag.name)
        if tag.kind == "open":
            opened.setdefault(tag.name, []).append(len(found))
        elif tag.kind == "close" and (begun := opened.get(tag.name)):
            tag.partner = begun.pop()
            found[tag.partner].partner = len(found)
        found.append(tag)
    return iter(found)


def _plausible(match: re.Match[str]) -> _Tag | None:
    if match["head"]:
        return _Tag(*match.span(), "", "head")
    name: str = match["name"]
    # Button and List are somebody's types: whoever writes HTML writes a name in one case.
    if name not in (name.lower(), name.upper()):
        return None
    lower = name.lower()
    if lower not in INLINE and lower not in _BLOCK and lower.partition(":")[0] not in _OFFICE:
        return None
    if lower in _OFFICE:
        return None
    attributes = match["attributes"]
    if attributes and any(bare[1] and bare[1].lower() not in _BOOLEAN for bare in _BARE.finditer(attributes)):
        return None
    if match["close"]:
        return None if attributes or match["self"] else _Tag(*match.span(), lower, "close")
    quoted = "=" in attributes
    if lower in _BREAKS or match["self"] or (lower in _EMPTY and quoted):
        return _Tag(*match.span(), lower, "empty", quoted)
    return None if lower in _EMPTY else _Tag(*match.span(), lower, "open", quoted)


def _is_html(text: str, found: list[_Tag]) -> bool:
    """Whether at least two signs say so."""
    gaps = zip([0, *(tag.end for tag in found)], [*(tag.start for tag in found), len(text)], strict=True)
    worded = [bool(_WORDS.search(_ENTITY.sub("", text[start:end]))) for start, end in gaps]
    if not any(worded):
        return any(_goes(tag) for tag in found)
    before = list(accumulate(worded, initial=0))  # how many of the gaps before a tag hold words
    signs = 0
    for number, tag in enumerate(found):
        words = before[tag.partner + 1] - before[number + 1] if tag.partner is not None else 0
        signs += _signs(text, found, tag, words)
        if signs >= 2:
            return True
    return False


def _signs(text: str, found: list[_Tag], tag: _Tag, words: int) -> int:
    """How many signs of HTML a tag is where it stands. ``words``: stretches of words up to its partner."""
    before, after = text[tag.start - 1 : tag.start], text[tag.end : tag.end + 1]
    begins, ends = before in ("", "\n", "\r"), after in ("", "\n", "\r")
    glued = bool(_GLUED_BEFORE.match(before))
    if tag.kind == "head":
        return 2
    if tag.kind == "comment":
        return 0 if _COMMENT_SPOKEN_OF.search(text[max(0, tag.start - _NEAR) : tag.start]) else 2
    if not glued:
        words_before = text[max(0, tag.start - _NEAR) : tag.start]
        if _SPOKEN_OF.search(words_before) or _IN_CODE.search(words_before):
            return 0
    if ":" in tag.name or tag.kind == "raw":
        return 2
    if tag.kind == "empty":
        if glued or _GLUED_AFTER.match(after):
            return 2
        return int(tag.quoted or sum(other.name == tag.name for other in found[:20]) > 1)
    if tag.kind == "close":
        return int(tag.partner is None and glued)
    if tag.partner is None:
        at_words = tag.name in _ENDLESS and (begins or glued) and bool(_GLUED_AFTER.match(after))
        return (2 if tag.start == 0 else 1) if at_words else 0
    end = found[tag.partner]
    if not words:
        return 2 if tag.quoted and (begins or glued or _GLUED_AFTER.match(text, end.end)) else 0
    inside = after.isspace() and text[end.start - 1].isspace()
    closes = text[end.end : end.end + 1]
    return 2 if not inside or (begins and closes in ("", "\n", "\r", "<")) or ends else 0


def _goes(tag: _Tag) -> bool:
    if tag.kind == "open":
        return tag.partner is not None or tag.name in _ENDLESS or tag.quoted
    return True
