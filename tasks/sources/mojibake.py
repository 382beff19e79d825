"""Texts that were once read in a wrong encoding: put right where that is sure, told where it is not.

A text is put right if read the other way it is Russian, and as it stands it is not. Other languages are left alone.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from otzyv.tasks.sources.russian import likeness

MIXUPS = (
    # what the bytes were, what they were read as (cp1252 stands for latin-1 too)
    ("utf-8", "cp1252"), ("utf-8", "cp1251"), ("utf-8", "cp866"), ("utf-8", "koi8-r"), ("utf-8", "mac-cyrillic"),
    ("cp1251", "cp1252"), ("koi8-r", "cp1252"), ("cp866", "cp1252"), ("cp1251", "koi8-r"), ("koi8-r", "cp1251"),
    ("cp1251", "cp866"), ("cp866", "cp1251"),
)  # fmt: skip

_LOOKED_AT = 1000
"""Characters at the start of a text that decide."""
_RUSSIAN, _BETTER = 0.6, 0.25
"""The share of common pairs of letters that it takes, and by how much it must grow."""
_FEWEST = 4
"""Common pairs of letters that it takes; two where the bytes are UTF-8, which nothing else is by chance."""

_SIGN = re.compile(
    "[\x80-\x9f\xa1-\xa8\xaa\xac\xaf\xb1-\xb6\xb8-\xba\xbc-\xff\u0152-\u017e\u0192\u0402-\u040f\u0452-\u045f\u0490"
    "\u0491\u02c6\u02dc\u201a\u2020\u2021\u2030\u2039\u203a\u2122\u2500-\u25a0\ufffd]"
)
_INVERTED = re.compile("[А-ЯЁ]{2}(?<=[а-яё]..)")  # koi8-r and cp1251 have small letters where the other has capitals
_SIGNS_IN = 400
"""Characters at the start of a text that must have a sign of it; nearly all texts have none, and are done with."""
_DAMAGED = re.compile(
    "\ufffd|пїЅ|(?:[ÐÑ][\x80-\xbf\u0152-\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122].?){3}"
    "|(?:[РС][\xa0-\xbf\u0402\u0403\u0409-\u040c\u040f\u0453\u0459-\u045c\u045f\u2013-\u203a\u20ac\u2122].{0,2}){3}"
)


class Mended(NamedTuple):
    """``text`` put right; ``was``: what had happened, None if nothing had; ``damaged``: it has and can't be undone."""

    text: str
    was: str | None = None
    damaged: bool = False


def mended(text: str) -> Mended:
    """``text`` as it was meant, if it was read in a wrong encoding and that can be undone without loss."""
    if text.isascii():
        return Mended(text)
    if not _SIGN.search(text, 0, _SIGNS_IN) and not _INVERTED.search(text, 0, _SIGNS_IN):
        return Mended(text, damaged="\ufffd" in text or "пїЅ" in text)
    now, _ = likeness(text[:_LOOKED_AT])
    best, found = max(_RUSSIAN, now + _BETTER), Mended(text, damaged=bool(_DAMAGED.search(text)))
    for meant, read in MIXUPS:
        try:
            other = text.encode(read, "otzyv.sloppy").decode(meant)
        except UnicodeError:
            continue
        share, common = likeness(other[:_LOOKED_AT])
        if share >= best and common >= (2 if meant == "utf-8" else _FEWEST):
            best, found = share + 1e-9, Mended(other, f"{meant.upper()} read as {read}")
    return found


def _sloppy(error: UnicodeError) -> tuple[bytes, int]:
    """Bytes that an encoding does not have are read by browsers and others as the character of the same number."""
    if not isinstance(error, UnicodeEncodeError) or max(error.object[error.start : error.end]) > "\x9f":
        raise error
    return error.object[error.start : error.end].encode("latin-1"), error.end


codecs.register_error("otzyv.sloppy", _sloppy)
