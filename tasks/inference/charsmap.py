"""What texts are normalised by before SentencePiece's pieces are looked for, in the form the tokenizers library reads.

A rule replaces a character, or a few that stand together. The rules stand in a double-array trie over UTF-8 (Yata et
al. 2007; the units are those of darts-clone, which SentencePiece uses), followed by what the rules put in place.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache

import numpy as np

_WHOLE = 6
"""The library looks a group of characters up as a whole if it takes fewer bytes than this."""
_HAS_LEAF, _LEAF, _BLOCK = 1 << 8, 1 << 31, 256


def charsmap(rules: Mapping[str, str]) -> bytes:
    """Rules as ``tokenizers.normalizers.Precompiled`` takes them. ``rules``: no empty key, no character U+0000."""
    nodes: list[dict[int, int]] = [{}]
    """Of each node: byte -> the node it leads to."""
    ends: dict[int, str] = {}
    for key, replacement in rules.items():
        node = 0
        for byte in key.encode():
            if byte not in nodes[node]:
                nodes[node][byte] = len(nodes)
                nodes.append({})
            node = nodes[node][byte]
        ends[node] = replacement
    # Children of a node stand at its base XOR their byte; a rule's number stands at the base of the node it ends in. A
    # block for each node with children costs little room here, as most nodes have none: those share blocks.
    inner = [node for node, children in enumerate(nodes) if children]
    bases = {node: place * _BLOCK for place, node in enumerate(inner)}
    bases |= {node: len(inner) * _BLOCK + n for n, node in enumerate(end for end in ends if end not in bases)}
    units = np.zeros(-(-(max(bases.values()) + 1) // _BLOCK) * _BLOCK, np.uint32)

    def unit(node: int, place: int, label: int) -> int:
        """Its label, whether a rule ends there, and its base, told as the distance from its own place."""
        distance = place ^ bases[node]
        offset = distance << 10 if distance < 1 << 21 else (distance >> 8) << 10 | 1 << 9
        return offset | label | (_HAS_LEAF if node in ends else 0)

    units[0] = unit(0, 0, 0)
    for node in inner:
        for byte, child in nodes[node].items():
            place = bases[node] ^ byte
            units[place] = unit(child, place, byte)
    texts: dict[str, int] = {}
    length = 0
    for replacement in ends.values():
        if replacement not in texts:
            texts[replacement] = length
            length += len(replacement.encode()) + 1
    for node, replacement in ends.items():
        units[bases[node]] = _LEAF | texts[replacement]
    trie = units.astype("<u4").tobytes()
    return len(trie).to_bytes(4, "little") + trie + "".join(f"{text}\0" for text in texts).encode()


@cache
def compositions() -> dict[str, str]:
    """A letter and a mark that stands by itself -> the one character of both: rules that SentencePiece's NFKC adds.

    Only pairs that the library looks up, by their length. What is composed never changes between versions of Unicode.
    """
    marks: dict[str, list[str]] = {}
    composed = []
    for character in map(chr, [*range(0xD800), *range(0xE000, 0x10000)]):
        plain = unicodedata.normalize("NFKD", character)
        if len(plain) == 1:
            marks.setdefault(plain, []).append(character)
        if unicodedata.decomposition(character) and not "가" <= character <= "힣":
            composed.append(unicodedata.normalize("NFD", character))
    pairs = [pair for pair in composed if len(pair) == 2 and unicodedata.normalize("NFC", pair) != pair]
    spelt = {pair[0] + mark: unicodedata.normalize("NFKC", pair) for pair in pairs for mark in marks[pair[1]]}
    return {pair: character for pair, character in spelt.items() if len(pair.encode()) < _WHOLE}
