"""What stands around a number: words that say what it is, and digits that it is a part with."""

from __future__ import annotations

import re

_NEAR = 45
_WALL = re.compile(r"[\d\[\]\n]")
"""Words tell of the next number only: what is behind another one, or behind a mark, says nothing."""

_PHONE = re.compile(
    r"(?:\b(?:тел|моб|сот|раб|дом|факс|phone|tel|mob|cell|fax|call)\b|телефон|мобильн|сотов|звон|набер|набир|вотсап|ватсап|вацап"
    r"|whats\s?app|viber|вайбер|\bсмс|\bsms|\bконтакт|связ|напишите|пишите|☎|📞|📱)",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"(?:заказ|договор|контракт|артикул|\bарт\b|сч[её]т|\bчек|накладн|квитанц|платеж|платёж|транзакц|операци|заявк|обращени|тикет"
    r"|билет|\bтрек|посылк|отправлени|\bлот\b|\bкод\b|\bключ|\bid\b|\bид\b|\buid\b|№|сертификат|диплом|удостоверени|аттестат"
    r"|полис|лицензи|\bisbn|\bissn|\bdoi\b|штрих|\bean\b|\bgtin|серийн|\bs/n|\bimei|верси|билд|\bbuild|коммит|\bcommit|хеш|хэш"
    r"|\bhash|\border|invoice|ticket|contract|article|\bsku\b|\btrack|огрн|\bкпп\b|\bбик\b|окпо|оквэд|\bинн\b|снилс|паспорт"
    r"|р/с|к/с|\bкурс\b|\bурок|\bшаг\b|\bзадач|\bзадани|рубл|стоит|стоил|цен[аоыу]|\bсумм|баланс|промокод|\bпин\b|парол|lesson"
    r"|\bstep\b|\bcourse|заявлени|протокол|приказ|участник|студент|пользовател|логин|аккаунт|timestamp|телефонов|число|чисел"
    r"|номер\s(?:дела|рейса|зачётки|зачетки|группы|студ)|\bгруппа|зач[её]тк|пропуск|регистрационн|\bрег\b|кадастр|\bвин\b|\bvin\b)",
    re.IGNORECASE,
)


_JOINED_BEFORE = re.compile(r"(?<![.,:/\d])(\d+)([ -])\Z")
_JOINED_AFTER = re.compile(r"([ -])(\d+)(?![.,:/]\d|\d)")
_LONGEST = 40
"""Digits of a neighbour that are looked at."""
OF_ITS_OWN = 10
"""So many digits together are a number of their own, whatever stands beside them."""


def joined(seen: str, start: int, end: int) -> list[tuple[str, str]]:
    """The groups of digits right before and behind a number, each with the blank or hyphen that joins it to the number.

    A date, a time and a decimal beside it are numbers of their own.
    """
    found = []
    if match := _JOINED_BEFORE.search(seen[max(0, start - _LONGEST) : start]):
        found.append((match[2], match[1]))
    if match := _JOINED_AFTER.match(seen, end):
        found.append((match[1], match[2]))
    return found


def before(seen: str, start: int) -> str:
    """The words before a place, back to the last number or mark."""
    words = seen[max(0, start - _NEAR) : start]
    walls = [wall.end() for wall in _WALL.finditer(words)]
    return words[walls[-1] :] if walls else words


def tells_phone(words: str) -> bool:
    """Whether they announce a phone, and the nearest of them does."""
    return _last(_PHONE, words) > _last(_OTHER, words)


def tells_other(words: str) -> bool:
    """Whether they announce an order, an article, a price: any number but a phone."""
    return _last(_OTHER, words) > _last(_PHONE, words)


def _last(pattern: re.Pattern[str], words: str) -> int:
    return max((match.end() for match in pattern.finditer(words)), default=-1)
