"""E-mail addresses, also as people write them for people: ivan [at] mail.ru, ivan собака mail точка ru."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LOCAL = r"\w.+%-"
_CYRILLIC_ZONES = "рф|рус|дети|москва|онлайн|сайт|орг|ком|бел|укр|срб|мкд|мон|қаз|бг|ею|католик"
# The address ends where a known zone does, so that «ivan@mail.ru.Спасибо» keeps the thanks. A run of local characters
# is tried from its start only, so that the search is linear in any text; addresses run together get one mark.
_ZONE = rf"xn--[a-z0-9-]{{2,59}}+|(?:{_CYRILLIC_ZONES})(?![а-яё])|[^\W\d_а-яё]{{2,63}}+"
_MAIL = re.compile(
    rf"(?<![{_LOCAL}])(?:[{_LOCAL}]++@(?:(?:[\w-]+\.)+(?:{_ZONE})|(?:[\w-]+\.)+[а-яё]{{2,63}}+))++", re.IGNORECASE
)
_FILE = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|js|ts|py|css|html|json|txt|pdf|zip|gz|tgz|ipynb|local|localhost|internal)\Z", re.I
)
_COMMAND = re.compile(
    r"(?:\b(?:ssh|scp|sftp|rsync|mosh|ssh-copy-id)(?:\s-{1,2}\S{1,20}(?:\s\w{1,20})?){0,3}\s\Z|\w://\S{0,80}\Z)", re.I
)
_REMOTE = re.compile(r":(?:~|/|[\w.-]+/)|\(")
_NEAR = 90

_PROVIDER = (
    r"(?:g?mail|ya|yandex|bk|list|inbox|rambler|outlook|hotmail|live|icloud|me|yahoo|proton(?:mail)?|internet|example"
    r"|мэйл|мейл|мэил|майл|яндекс|гмэйл|гмейл|джимейл|рамблер)"
)
_HOST_ZONE = r"(?:ru|com|net|org|by|kz|ua|me|ру|ком|рф)(?![^\W_])"
_NAME = r"(?<![\w.+%@-])[a-zа-яё][\w.+-]{1,40}"
_DOT = r"(?:\s?[(\[{]\s?(?:dot|точка|тчк|tochka|\.)\s?[)\]}]\s?|\s(?:dot|точка|тчк|tochka)\s|\s?[.,]\s?)"
_SPELT_DOT = r"(?:\s?[(\[{]\s?(?:dot|точка|тчк|tochka|\.)\s?[)\]}]\s?|\s(?:dot|точка|тчк|tochka)\s)"
_BRACKETED = r"\s?[(\[{<]\s?(?:at|собака|собачка|sobaka|эт|@)\s?[)\]}>]\s?"
_SPELT = (
    # ivan [at] mail.ru: nothing but an address is written so
    rf"{_NAME}{_BRACKETED}(?:[\w-]{{1,40}}{_DOT}){{1,3}}{_HOST_ZONE}",
    # ivan собака mail точка ru
    rf"{_NAME}\s(?:at|собака|собачка|sobaka|эт)\s(?:[\w-]{{1,40}}{_SPELT_DOT}){{1,3}}{_HOST_ZONE}",
    rf"[a-z][\w.+-]{{1,40}}\s(?:собака|собачка|sobaka)\s{_PROVIDER}(?:{_DOT}|\s){_HOST_ZONE}",
    # ivan @ mail.ru, ivan@mail. ru, ivan@mail точка ru
    rf"(?<![\w.+%@-])[a-z][\w.+-]{{1,40}}\s?@\s?{_PROVIDER}{_DOT}{_HOST_ZONE}",
)
_ENGLISH = re.compile(rf"{_NAME}\sat\s{_PROVIDER}(?:{_DOT}|\s){_HOST_ZONE}", re.IGNORECASE)
_ANNOUNCED = re.compile(r"почт|мыло|мейл|мэйл|e-?mail|пиши|write|contact|адрес", re.IGNORECASE)
"""Words before «ivan at gmail.com» that keep it from being «look at gmail.com»."""
_SPELT_MAIL = tuple(re.compile(pattern, re.IGNORECASE) for pattern in _SPELT)


def mails(seen: str) -> Iterator[tuple[int, int]]:
    """ivan@mail.ru, имя@почта.рф, ivan [at] mail.ru, ivan собака mail точка ru; not git@host:path or icon@2x.png."""
    found = [m.span() for pattern in (_MAIL, *_SPELT_MAIL) for m in pattern.finditer(seen) if not _is_code(m, seen)]
    found += [m.span() for m in _ENGLISH.finditer(seen) if _ANNOUNCED.search(seen[max(0, m.start() - 30) : m.start()])]
    place = 0
    for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
        if start >= place:
            yield start, end
            place = end


def _is_code(match: re.Match[str], seen: str) -> bool:
    if _FILE.search(match[0]) or _REMOTE.match(seen, match.end()):
        return True
    return bool(_COMMAND.search(seen[max(0, match.start() - _NEAR) : match.start()]))
