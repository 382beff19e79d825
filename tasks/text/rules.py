"""The cleaning rules, in the order they act. A rule is a function from text to text, and its name is the rule's name.

RULES_TEXT make ``text`` of what was received; RULES_PLAIN make ``plain`` of ``text``. Each list leaves its own output
as it is; what one rule leaves may be for another (an entity may spell a tag), so ``tasks.text.clean`` goes round
RULES_TEXT until nothing changes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from otzyv.tasks.text.bbcode import bbcode
from otzyv.tasks.text.escapes import escapes
from otzyv.tasks.text.links import handles, links
from otzyv.tasks.text.markup import entities
from otzyv.tasks.text.scripts import lookalikes, part_scripts
from otzyv.tasks.text.tags import office, tags
from otzyv.tasks.text.terms import signed_terms, spelt_terms

Rule = Callable[[str], str]

INVISIBLE = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters but for those that are blanks
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff\U000f0000-\U0010ffff"  # no characters by themselves
)
"""Inside of a character class: controls, Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties but for the
joiners of emoji, surrogates, private use, noncharacters."""

_INVISIBLE = re.compile(
    "(\U0001f3f4[\U000e0061-\U000e007a]{3,6}\U000e007f)"  # a flag of a region, as England's, is spelt in tag characters
    f"|[{INVISIBLE}]+"
)
_EMOJI = (
    "[\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a\u231b\u2328\u23cf\u23e9-\u23ff\u24c2\u25aa-\u25fe"
    "\u2600-\u27bf\u2934\u2935\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_SKIN = "[\U0001f3fb-\U0001f3ff]"
_JOINERS = re.compile(
    f"({_EMOJI}\ufe0f?{_SKIN}?(?:\u200d{_EMOJI}\ufe0f?{_SKIN}?)*+"
    "|[0-9#*]\ufe0f\u20e3)"  # keycaps
    "|[\u200d\ufe0f]"
)

_FANCY = re.compile(
    "[\u0132\u0133\u0149\u017f\u01c4-\u01cc\u01f1-\u01f3"  # Latin digraphs and the long s
    "\u2102\u210a-\u2113\u2115\u2119-\u211d\u2124\u2128\u212c-\u2131\u2133-\u2138\u213c-\u213f\u2145-\u2149"
    "\u2160-\u217f\u24b6-\u24c1\u24c3-\u24e9\U0001f130-\U0001f149"  # letterlike, Roman numerals, circled, squared
    "\u02b0-\u02b8\u02e1-\u02e3\u1d2c-\u1d6a"  # raised and lowered letters
    "\ufb00-\ufb06\ufb13-\ufb17\uff01-\uff5e\uff66-\uff9d\U0001d400-\U0001d7ff]"  # ligatures, wide, mathematical
)
"""What is a letter, a digit or ASCII once it is written plainly (Unicode's compatibility decomposition). Raised and
lowered digits, fractions and signs of their own mean something as they are; circled digits are a list's numbers."""

_MARKS = 8
"""The most combining marks in a row that stay: no language writes so many, and ordering many takes quadratic time."""
_LONG = re.compile(rf"[^\w\s\x00-\x7f]{{{_MARKS + 1},}}")

_STRESS = re.compile("[\u0300-\u036f]+")
_SOFT = str.maketrans("ёѐѝ", "ееи")
_PUNCTUATION = re.compile(r"[\W_]+")


def invisible(text: str) -> str:
    """Zero-width characters, controls and lone surrogates vanish. Those that join emoji stay between emoji."""
    text = _INVISIBLE.sub(r"\1", text)
    return _JOINERS.sub(r"\1", text) if "\u200d" in text or "\ufe0f" in text else text


def compatible(text: str) -> str:
    """Letters and digits in fancy dress are themselves: 𝓢, Ｃ and ﬁ are S, C and fi. x², ½, №, ™ and ① stay."""
    return text if text.isascii() else _FANCY.sub(_undressed, text)


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


def _undressed(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0])


def _unheap(text: str) -> str:
    return _LONG.sub(_first_marks, text)


def _first_marks(match: re.Match[str]) -> str:
    kept, row = [], 0
    for character in match[0]:
        row = row + 1 if unicodedata.combining(character) else 0
        if row <= _MARKS:
            kept.append(character)
    return "".join(kept)


RULES_TEXT: tuple[Rule, ...] = (
    invisible, compatible, nfc, office, tags, bbcode, entities, escapes, lookalikes, one_space,
)  # fmt: skip
RULES_PLAIN: tuple[Rule, ...] = (
    links, handles, signed_terms, lower, yo, unstress, part_scripts, punctuation, spelt_terms, one_space,
)  # fmt: skip
