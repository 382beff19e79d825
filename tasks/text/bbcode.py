"""The tags of forums, [b]…[/b]: they go and their text stays. [0], a[i] and [1, 2] are none."""

from __future__ import annotations

import re

_NAMES = (
    "b|i|u|s|url|email|img|quote|code|color|size|font|list|li|ul|ol|spoiler|center|left|right|justify|indent|sub|sup"
    "|table|tr|td|th|h[1-6]|p|video|audio|youtube|media|user|hide|cut|strike|pre|php|noparse|highlight|background"
)
_TAG = re.compile(
    rf"\[(?P<close>/)?(?P<name>{_NAMES})(?P<value>(?:=|\s[a-z]{{1,20}}=)[^\[\]\n]{{1,500}})?\]", re.IGNORECASE
)
_LONE = re.compile(r"\[(?:\*|hr|br)\]", re.IGNORECASE)
_BLOCK = re.compile(r"quote|code|list|li|ul|ol|center|left|right|table|tr|t[dh]|h[1-6]|p|spoiler|hide|cut", re.I)
_WORD = re.compile(r"\w")


def bbcode(text: str) -> str:
    """Pairs of tags around words vanish; «теги [b] и [/b]» are spoken of and stay, as does whatever has no partner."""
    if "[/" not in text:
        return text
    opened: dict[str, list[re.Match[str]]] = {}
    going: list[re.Match[str]] = []
    for tag in _TAG.finditer(text):
        name = tag["name"].lower()
        if not tag["close"]:
            opened.setdefault(name, []).append(tag)
        elif not tag["value"] and (begun := opened.get(name)):
            begin = begun.pop()
            spoken_of = text[begin.end()].isspace() and text[tag.start() - 1].isspace() and not begin["value"]
            if not spoken_of or "\n" in text[begin.end() : begin.end() + 2]:
                going += [begin, tag]
    if not going:
        return text
    going += _LONE.finditer(text)
    pieces, place = [], 0
    for tag in sorted(going, key=re.Match.start):
        block = tag.re is _LONE or _BLOCK.fullmatch(tag["name"])
        pieces += [text[place : tag.start()], " " if block else ""]
        place = tag.end()
    return "".join([*pieces, text[place:]])
