"""Names of languages and tools that differ by a sign, or by the alphabet they are typed in: each is a word of its own.

Spelt with letters and digits alone, as their own packages spell them (cpp, csharp, nodejs): ``plain`` has no signs, and
dostoevsky's tokenizer would part «c++» into three tokens.
"""

from __future__ import annotations

import re

_NO_WORD_BEFORE, _NO_WORD_AFTER = r"(?<![^\W_])", r"(?![^\W_])"

SIGNED = (
    (re.compile(rf"{_NO_WORD_BEFORE}[CcСс]\+\+(?!\+)"), " cpp "),
    (re.compile(rf"{_NO_WORD_BEFORE}[CcСс]#(?!#|[^\W\d_])"), " csharp "),
    (re.compile(rf"{_NO_WORD_BEFORE}[Ff]#(?!#|[^\W\d_])"), " fsharp "),
    (
        re.compile(rf"(?:\.NET|(?:(?<![^\W_])|(?<=\b[Aa]sp)|(?<=\b[Aa]do)|(?<=\b[Vv]b))\.[Nn]et){_NO_WORD_AFTER}"),
        " dotnet ",
    ),
    (re.compile(rf"(?i){_NO_WORD_BEFORE}(node|next|nuxt|nest|three|express)\.js{_NO_WORD_AFTER}"), r" \1js "),
    (re.compile(rf"(?<=\b[Яя]зык )С{_NO_WORD_AFTER}|(?<=\b[Яя]зык[аеу] )С{_NO_WORD_AFTER}"), "C"),
)
"""Acts while the signs are there. The last: «язык С» with a Cyrillic С, which else is a preposition."""

SPELT = (
    (re.compile(rf"{_NO_WORD_BEFORE}1[cс]{_NO_WORD_AFTER}"), "1с"),
    (re.compile(rf"{_NO_WORD_BEFORE}(python|питон|пайтон)(\d+){_NO_WORD_AFTER}"), r"\1 \2"),
)
"""Acts on plain words: 1С with a Latin C; Python3 is Python 3."""


def signed_terms(text: str) -> str:
    """C++, C#, F#, .NET and Node.js are cpp, csharp, fsharp, dotnet and nodejs, whichever alphabet their C is of."""
    return _replaced(text, SIGNED) if any(sign in text for sign in "+#.С") else text


def spelt_terms(text: str) -> str:
    """1C is 1С, python3 is python 3."""
    return _replaced(text, SPELT)


def _replaced(text: str, terms: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, word in terms:
        text = pattern.sub(word, text)
    return text
