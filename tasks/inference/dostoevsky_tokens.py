"""dostoevsky's tokens at a fraction of its time: its tokenizer is asked once per distinct chunk between blanks.

razdel never joins over a blank, so a text's tokens are its chunks' tokens, one after the other. One kind of its rules
looks over a blank all the same: a dash, an underscore, a point, a comma or a slash at the edge of a chunk is joined to
its neighbour or not by what stands on the *other* side of the blank («5 -3» gives ``-3``, «-3» gives ``-`` and ``3``).
It sees no more than one atom there, whose kind its nearest character tells; such a chunk is known by itself and these
two characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dostoevsky.tokenization import RegexTokenizer

CHUNKS = 100_000
"""How many distinct chunks are remembered before all are forgotten: some 50 MB."""
LONGEST = 64
"""Longer chunks are not remembered, so that hostile text can't fill the memory."""

_LOOKS_OVER_BLANK = re.compile(r"[-_‑–—−].|[.,/\\]\d|.*(?:.[-_‑–—−]|\d[.,/\\])\Z", re.DOTALL)


class ChunkTokenizer(RegexTokenizer):  # type: ignore[misc]
    """dostoevsky's ``RegexTokenizer`` with a memory of chunks. Not for several threads at once."""

    def __init__(self) -> None:
        self._known = _Chunks(super().split)

    def line(self, text: str) -> str:
        """The tokens of ``split(text)``, one blank between them: what fastText reads. It holds no line break."""
        chunks = text.split()
        known = [self._known[chunk] for chunk in chunks]
        if None in known:
            before, after = ["", *chunks], [*chunks[1:], ""]
            for place, tokens in enumerate(known):
                if tokens is None:
                    seen = f"{before[place][-1:]} {chunks[place]} {after[place][:1]}"
                    known[place] = self._known[seen]
        return " ".join(known)  # type: ignore[arg-type]  # no None is left


class _Chunks(dict[str, "str | None"]):
    """Chunk -> its tokens with blanks between, None where its neighbours decide.

    A key with two blanks in it is a chunk between its neighbours' nearest characters («5 -3 »: no right neighbour); its
    tokens are those of the chunk alone.
    """

    def __init__(self, split: Callable[[str], list[tuple[str, None]]]) -> None:
        super().__init__()
        self._split = split

    def __missing__(self, key: str) -> str | None:
        between = " " in key
        tokens: str | None = None
        if between or not _LOOKS_OVER_BLANK.match(key):
            first, last = between and not key.startswith(" "), between and not key.endswith(" ")
            words = [token for token, _ in self._split(key)]
            tokens = " ".join(words[first : len(words) - last])
        if len(key) <= LONGEST:
            if len(self) >= CHUNKS:
                self.clear()
            self[key] = tokens
        return tokens
