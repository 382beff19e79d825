r"""Line ends and tabs that a text still spells out: Excel's _x000D_, and a backslash with n, r or t.

``C:\new\table``, ``print("a\n")``, ``\nabla``, ``[\r\n]`` and «символ \n» are no such thing. A sequence is one where
nothing of code is beside it: no Latin small letter after a single one (that is the next folder, or a command of TeX),
no drive or quotation around it, none of the signs of patterns. One between blanks stands behind a sentence's end, or
has a second one in the text.
"""

from __future__ import annotations

import re

_EXCEL = re.compile("(?:_x005F)*+_x00[01][0-9A-Fa-f]_")
"""A control character as Excel's files write it (ECMA-376, ST_Xstring), its underscore escaped however often."""
_RUN = re.compile(r"(?:\\[rnt])++(?![a-z])|(?:\\[rnt]){2,}+|(?<=\w[.!?…)»])\\[rnt]")
_SPOKEN_OF = re.compile(
    r"(?:символ|последовательност|экран|перенос|перевод|спецсимвол|табул|регуляр|regex|escape|print|split|newline"
    r"|слеш|слэш)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.!?…)]\s+\Z")
_END = frozenset(".!?;")
_NEAR = 60
"""Characters before a sequence in which a drive, up to the last blank, or a word says what it is."""
_CODE_BEFORE = re.compile(r"['`\[(|/\\^$*+{=,<%]")
_CODE_AFTER = re.compile(r"['`\]|*+?{\\/=,%]")
_DRIVE = re.compile(r"(?<!\w)[A-Za-z]:\\|\\\\\w")


def escapes(text: str) -> str:
    r"""A blank for _x000D_ and for a \r\n, \n or \t that was meant as a line end or a tab."""
    if "_x00" in text:
        text = _EXCEL.sub(" ", text)
    if "\\" not in text:
        return text
    told = bool(_DRIVE.search(text) or _SPOKEN_OF.search(text))
    found = [run for run in _RUN.finditer(text) if not _is_code(text, run, told)]
    if len(found) == 1 and _free(text, found[0]):
        return text
    quoted = _quoted(text, found)
    pieces, place = [], 0
    for run in found:
        if run.start() in quoted:
            continue
        pieces += [text[place : run.start()], " "]
        place = run.end()
    return "".join([*pieces, text[place:]])


def _free(text: str, run: re.Match[str]) -> bool:
    """Whether it stands alone between blanks within a sentence, as a word does that is spoken of."""
    before, after = text[max(0, run.start() - _NEAR) : run.start()], text[run.end() : run.end() + 1]
    single = len(run[0]) == 2 or run[0] == r"\r\n"
    stands = (not before or before[-1].isspace()) and (not after or after.isspace() or after in ".!?:;)")
    return single and stands and not _SENTENCE.search(before)


def _is_code(text: str, run: re.Match[str], told: bool) -> bool:
    if _CODE_BEFORE.match(text[run.start() - 1 : run.start()]) or _CODE_AFTER.match(text, run.end()):
        return True
    if not told:
        return False
    before = text[max(0, run.start() - _NEAR) : run.start()]
    chunk = before[max(before.rfind(" "), before.rfind("\n")) + 1 :]
    return bool(_DRIVE.search(chunk + "\\")) or any(
        _END.isdisjoint(before[word.end() :]) for word in _SPOKEN_OF.finditer(before)
    )


def _quoted(text: str, found: list[re.Match[str]]) -> set[int]:
    """The places of those inside of straight quotation marks."""
    inside, place, quotes = set(), 0, 0
    total = text.count('"')
    for run in found:
        quotes += text.count('"', place, run.start())
        place = run.start()
        if quotes % 2 and quotes < total:
            inside.add(run.start())
    return inside
