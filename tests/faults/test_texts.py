"""Texts thrown together of markup, contacts and code: what comes out comes out of it again, and nothing raises."""

from __future__ import annotations

import random

from otzyv.tasks.text.clean import Cleaned, clean
from otzyv.tasks.text.redact import redact
from tests.faults.counts import turns
from tests.tasks.text.pieces import CONTACTS, MARKUP

A_BATCH = 100


def test_texts_thrown_together_come_out_the_same_again() -> None:
    chance = random.Random(11)
    for _ in turns("texts cleaned and redacted again", 3, 1000, each=A_BATCH):
        for _ in range(A_BATCH):
            pieces = chance.choice([MARKUP, CONTACTS, (*MARKUP, *CONTACTS)])
            raw = "".join(chance.choices(pieces, k=chance.randint(1, 40)))
            redacted = redact(raw)
            assert redact(redacted) == redacted, raw
            once = clean(raw)
            assert clean(once.text) == once, raw
            assert clean(once.plain) == Cleaned(once.plain, once.plain), raw
