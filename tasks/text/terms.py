"""Names of languages and tools that differ by a sign, or by the alphabet they are typed in: each is a word of its own.

Spelt with letters and digits alone, as their own packages spell them (cpp, csharp, nodejs): ``plain`` has no signs, and
dostoevsky's tokenizer would part «c++» into three tokens.
"""

from __future__ import annotations

import re

_NO_WORD_BEFORE, _NO_WORD_AFTER = r"(?<![^\W_])", r"(?![^\W_])"

SIGNED = (
    ("++", re.compile(rf"{_NO_WORD_BEFORE}[CcСс]\+\+(?!\+)"), " cpp "),
    ("#", re.compile(rf"{_NO_WORD_BEFORE}[CcСс]#(?!#|[^\W\d_])"), " csharp "),
    ("#", re.compile(rf"{_NO_WORD_BEFORE}[Ff]#(?!#|[^\W\d_])"), " fsharp "),
    (".NET", re.compile(rf"\.NET{_NO_WORD_AFTER}"), " dotnet "),
    (
        ".net",
        re.compile(rf"(?:{_NO_WORD_BEFORE}|(?<=\b[Aa]sp)|(?<=\b[Aa]do)|(?<=\b[Vv]b))\.net{_NO_WORD_AFTER}"),
        " dotnet ",
    ),
    (".js", re.compile(rf"{_NO_WORD_BEFORE}(?i:(node|next|nuxt|nest|three|express))\.js{_NO_WORD_AFTER}"), r" \1js "),
    (".JS", re.compile(rf"{_NO_WORD_BEFORE}(?i:(node|next|nuxt|nest|three|express))\.JS{_NO_WORD_AFTER}"), r" \1js "),
    ("зык", re.compile(rf"(?:(?<=\b[Яя]зык )|(?<=\b[Яя]зык[аеу] ))С{_NO_WORD_AFTER}"), "C"),
)
"""What a text must hold, what it is part of, and its word; acts while the signs are there.

The last is «язык С» with a Cyrillic С, which else is a preposition."""

SPELT = (
    ("1c", re.compile(rf"{_NO_WORD_BEFORE}1c{_NO_WORD_AFTER}"), "1с"),
    ("python", re.compile(rf"{_NO_WORD_BEFORE}(python)(\d+){_NO_WORD_AFTER}"), r"\1 \2"),
    ("тон", re.compile(rf"{_NO_WORD_BEFORE}(питон|пайтон)(\d+){_NO_WORD_AFTER}"), r"\1 \2"),
)
"""Acts on plain words: 1С with a Latin C; Python3 is Python 3."""


def signed_terms(text: str) -> str:
    """C++, C#, F#, .NET and Node.js are cpp, csharp, fsharp, dotnet and nodejs, whichever alphabet their C is of."""
    return _replaced(text, SIGNED)


def spelt_terms(text: str) -> str:
    """1C is 1С, python3 is python 3."""
    return _replaced(text, SPELT)


def _replaced(text: str, terms: tuple[tuple[str, re.Pattern[str], str], ...]) -> str:
    for sign, pattern, word in terms:
        if sign in text:
            text = pattern.sub(word, text)
    return text
