"""The cleaning rules, in the order they act. A rule is a function from text to text, and its name is the rule's name.

RULES_TEXT make ``text`` of what was received; RULES_PLAIN make ``plain`` of ``text``. Each list leaves its own output
as it is; only markup can bring forth markup, so ``tasks.text.clean`` goes round RULES_TEXT again where there is any.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from tasks.text.markup import entities, tags
from tasks.text.scripts import lookalikes, part_scripts

Rule = Callable[[str], str]

INVISIBLE = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters but for those that are blanks
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff\U000f0000-\U0010ffff"  # no characters by themselves
)
"""Inside of a character class: controls, Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties but for the
joiners of emoji, surrogates, private use, noncharacters."""

_INVISIBLE = re.compile(f"[{INVISIBLE}]+")
_EMOJI = (
    "[\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a\u231b\u2328\u23cf\u23e9-\u23ff\u24c2\u25aa-\u25fe"
    "\u2600-\u27bf\u2934\u2935\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_JOINERS = re.compile(f"({_EMOJI}\ufe0f?(?:\u200d{_EMOJI}\ufe0f?)*+)|[\u200d\ufe0f]")

_MARKS = 8
"""The most combining marks in a row that stay: no language writes so many, and ordering many takes quadratic time."""
_LONG = re.compile(rf"[^\w\s\x00-\x7f]{{{_MARKS + 1},}}")

_STRESS = re.compile("[\u0300-\u036f]+")
_SOFT = str.maketrans("ёѐѝ", "ееи")
_PUNCTUATION = re.compile(r"[\W_]+")


def invisible(text: str) -> str:
    """Zero-width characters, controls and lone surrogates vanish. Those that join emoji stay between emoji."""
    text = _INVISIBLE.sub("", text)
    return _JOINERS.sub(r"\1", text) if "\u200d" in text or "\ufe0f" in text else text


def nfc(text: str) -> str:
    """Unicode's composed form: й is one character. Of a heap of combining marks the first eight stay."""
    return _unheap(unicodedata.normalize("NFC", _unheap(text)))


def one_space(text: str) -> str:
    """One space for any run of blanks and line ends, none at either end."""
    return " ".join(text.split())


def lower(text: str) -> str:
    """Lower case."""
    return text.lower()


def unstress(text: str) -> str:
    """Stress marks and other combining marks vanish: за́мок is замок."""
    return unicodedata.normalize("NFC", _STRESS.sub("", text))


def yo(text: str) -> str:
    """ё is е, as most people write it."""
    return text.translate(_SOFT)


def punctuation(text: str) -> str:
    """A space for whatever is neither letter nor digit, emoji too."""
    return _PUNCTUATION.sub(" ", text)


def _unheap(text: str) -> str:
    return _LONG.sub(_first_marks, text)


def _first_marks(match: re.Match[str]) -> str:
    kept, row = [], 0
    for character in match[0]:
        row = row + 1 if unicodedata.combining(character) else 0
        if row <= _MARKS:
            kept.append(character)
    return "".join(kept)


RULES_TEXT: tuple[Rule, ...] = (invisible, nfc, entities, tags, lookalikes, one_space)
RULES_PLAIN: tuple[Rule, ...] = (lower, yo, unstress, part_scripts, punctuation, one_space)
