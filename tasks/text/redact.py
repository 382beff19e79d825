"""What identifies a person in a raw text gives way to a mark, before anything else reads it.

``KINDS`` is the whole list. A kind is a function that finds places in the text as its reader sees it (digits of any
script, blanks of any kind, zero-width characters, entities and tags hide nothing), and its mark is a word that models
know. Kinds act in the list's order, and what one has found is a wall to those after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from otzyv.tasks.text.redaction.accounts import names, pages
from otzyv.tasks.text.redaction.documents import cards, inns, passports, snils
from otzyv.tasks.text.redaction.mails import mails
from otzyv.tasks.text.redaction.phones import phones
from otzyv.tasks.text.redaction.view import View


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of personal data: what the settings call it, what stands in its place, and what finds it."""

    name: str
    mark: str
    needs: re.Pattern[str]
    """What a text must hold for it to be looked for at all."""
    find: Callable[[str], Iterator[tuple[int, int]]]

    @property
    def doc(self) -> str:
        """What is taken, and what is not."""
        return (self.find.__doc__ or "").strip().partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Redaction:
    """One place of the raw text that gives way to a mark."""

    kind: str
    start: int
    end: int
    mark: str


_DIGITS = re.compile(r"\d")
KINDS = (
    Kind("mail", "[почта]", re.compile(r"@|\b(?:at|эт)\b|соба[кч]|sobaka", re.IGNORECASE), mails),
    Kind("page", "[ссылка]", re.compile("/"), pages),
    Kind("name", "[имя]", re.compile(r"@|[_\d]"), names),
    Kind("snils", "[снилс]", _DIGITS, snils),
    Kind("inn", "[инн]", _DIGITS, inns),
    Kind("card", "[карта]", _DIGITS, cards),
    Kind("passport", "[паспорт]", _DIGITS, passports),
    Kind("phone", "[телефон]", _DIGITS, phones),
)
_ROUNDS = 10
"""What one kind has walled in may part or uncover what is another's; more rounds no honest text needs."""
ALL = frozenset(kind.name for kind in KINDS)
PHONE, MAIL = KINDS[-1].mark, KINDS[0].mark


class Redact(BaseModel):
    """Which kinds are at work: all that identify a person, unless the settings switch one off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mail: bool = Field(True, description="e-mail addresses")
    page: bool = Field(True, description="pages of people in social networks and messengers")
    name: bool = Field(True, description="@names, a teacher's too")
    snils: bool = Field(True, description="pension insurance numbers")
    inn: bool = Field(True, description="taxpayer numbers")
    card: bool = Field(True, description="numbers of bank cards")
    passport: bool = Field(True, description="numbers of passports")
    phone: bool = Field(True, description="phone numbers")

    @property
    def kinds(self) -> frozenset[str]:
        """The names of the kinds that are on."""
        return frozenset(name for name in ALL if getattr(self, name))


def redact(text: str, kinds: Collection[str] = ALL) -> str:
    """The text with marks for what the kinds find, the rest as it was.

    Redacting again changes nothing; time is linear in the length.
    """
    pieces, place = [], 0
    for found in redactions(text, kinds):
        pieces += [text[place : found.start], found.mark]
        place = found.end
    return "".join([*pieces, text[place:]])


def redactions(text: str, kinds: Collection[str] = ALL) -> list[Redaction]:
    """Which kind acts where in the text, in the order of the places."""
    view = View(text)
    seen = view.seen
    found: list[Redaction] = []
    for _ in range(_ROUNDS):
        before = len(found)
        for kind in KINDS:
            if kind.name in kinds and kind.needs.search(seen):
                spans = list(kind.find(seen))
                found += [Redaction(kind.name, *view.lies(*span), kind.mark) for span in spans]
                seen = _walled(seen, spans)
        if len(found) == before:
            break
    return sorted(found, key=lambda one: one.start)


def _walled(seen: str, spans: list[tuple[int, int]]) -> str:
    """What was found as the kinds after it see it: brackets, as around a mark."""
    pieces, place = [], 0
    for start, end in spans:
        pieces += [seen[place:start], "[", "]" * (end - start - 1)]
        place = end
    return "".join([*pieces, seen[place:]]) if spans else seen
