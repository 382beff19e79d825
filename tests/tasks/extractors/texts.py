"""Many texts, made up."""

from __future__ import annotations

import random


def many_texts() -> list[str]:
    """A thousand made-up texts of 40 words each."""
    chance = random.Random(0)
    words = [f"{a}{b}{c}" for a in ("по", "на", "учи", "рас") for b in ("каз", "тел", "бот", "куп") for c in "аеиоу"]
    return [" ".join(chance.choices(words, k=40)) for _ in range(1000)]
