"""Cleaning: the linguists' cases, and what holds of any string at all."""

from __future__ import annotations

import hashlib
import json
import sys
import unicodedata
from collections import Counter
from html.parser import HTMLParser

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otzyv.schemas.tables import CLEAN_TEXT
from otzyv.tasks.inference.dostoevsky_tokens import ChunkTokenizer
from otzyv.tasks.text.clean import VERSION, Cleaned, clean, clean_rows, describe, explain
from otzyv.tasks.text.rules import RULES_PLAIN, RULES_TEXT
from tests.tasks.text.cases_file import cases
from tests.tasks.text.pieces import MARKUP

ANY_TEXT = st.text(st.characters(), max_size=40) | st.lists(st.sampled_from(MARKUP), max_size=40).map("".join)

HOSTILE = (
    "<", "&", "&amp;", "amp;", "&#38;", "<a", "<a ", "<a x=\"", "<!--", "<b>", "&lt;b&gt;", "<b <", "<b x=y ", "&am",
    "👨\u200d", "\u0301\u0316", "aб", "İ", "\ud800", "\u200b", "<p>", "</p>", "<br>", "</b>", "<b>x", "<!--[if x]>",
    "<script>", "<style>x</style>", "<b></b>", "тег <b>", "<p x='", "[b]", "[/b]", "[b]x[/b]", "[b][/b]", "[url=", "[",
    "\\n", "\\", "\\n\"", "а\\n", "_x000D_", "_x00", "🏴\U000e0067", "1\ufe0f", "&lt;p&gt;", "&pi;=", "Ｃ",
    "http://", "www.", "a.", "a.ru/", "@", "@ab", "@ab.", "C+", "C++", "1C", ".NET", "python3", "язык С",
)  # fmt: skip


GOLDEN = {2: "8045f0c4c2ba1cdc361b3bdae3dca7293a5bff256b2f72020a1dd74e4fab1376"}
"""Digest of what each version gives for texts that show the rules. Lakes take rows of one version for one another's:
a change of any rule needs another version, with its own digest."""
SHOWING = (
    "<b>Ещё</b>&nbsp;один курc,\u200b №\xa01! за\u0301мок", "про тег <table> и vector<int>",
    "<p>раз<br>два</p><style>x</style>",
    "[b]жирно[/b] a[i]", "раз\\nдва C:\\new", "_x000D_", "𝓢 ﬁ １️⃣ 1️⃣ x²", "С++, C#, 1C, .NET, Python3", "&amp;lt;&pi;",
    "@ivan_petrov https://example.com/a", "PHPшник и IT-курс", "<!--[if x]>y<![endif]-->Да", "снежный 👩🏽‍💻 день",
)  # fmt: skip


def test_rules_do_not_change_without_another_version() -> None:
    rows = clean_rows(SHOWING).to_pylist()
    digest = hashlib.sha256(json.dumps(rows, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
    assert GOLDEN.get(VERSION) == digest, "raise tasks.text.clean.VERSION, and note the digest of what it gives"


@pytest.mark.parametrize(("raw", "text"), cases("text"))
def test_text_is_as_the_linguist_wrote(raw: str, text: str) -> None:
    assert clean(raw).text == text


@pytest.mark.parametrize(("raw", "plain"), cases("plain"))
def test_plain_is_as_the_linguist_wrote(raw: str, plain: str) -> None:
    assert clean(raw).plain == plain


@given(ANY_TEXT)
@settings(max_examples=1000, deadline=None)
@example("\u1100\u0301\u1161")  # a mark parts two letters that compose
@example("мy\u1dc2\u0306")  # composes as Cyrillic only
@example("&" * 5 + "amp;lt;b&#103;t;" * 5)
@example("<b " * 12 + ">" * 12)
@example("PYTHON1C")
@example("&l" * 12 + "<b>" + "t;" * 12)
def test_cleaning_again_changes_nothing(raw: str) -> None:
    once = clean(raw)
    assert clean(once.text) == once
    assert clean(once.plain) == Cleaned(plain=once.plain, text=once.plain)


def test_cleaning_again_changes_nothing_whatever_the_character() -> None:
    """Every character in company that brings out its combining, casing and joining; ideographs act all alike."""
    telling = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) not in ("Cn", "Co", "Lo")]
    for start in range(0, len(telling), 1000):
        once = clean(" ".join(f"{c} а{c}а {c}\u0301 {c}\ufe0f" for c in telling[start : start + 1000]))
        assert clean(once.text) == once
        assert clean(once.plain).plain == once.plain


@given(ANY_TEXT)
@settings(max_examples=500, deadline=None)
def test_what_comes_out_is_as_promised(raw: str) -> None:
    cleaned = clean(raw)
    for output in (cleaned.text, cleaned.plain):
        output.encode("utf-8")  # no lone surrogate
        assert output == " ".join(output.split())
        assert unicodedata.is_normalized("NFC", output)
        assert not any(unicodedata.category(c) in ("Cc", "Co") for c in output)
    assert cleaned.plain == cleaned.plain.lower()
    assert all(c.isalnum() or c == " " for c in cleaned.plain)
    assert "ё" not in cleaned.plain


@given(ANY_TEXT)
@settings(max_examples=300, deadline=None)
def test_the_explanation_leads_from_the_raw_text_to_both_outputs(raw: str) -> None:
    steps = explain(raw)
    cleaned = clean(raw)
    assert all(step.before != step.after for step in steps)
    befores, afters = [step.before for step in steps], [step.after for step in steps]
    assert [raw, *afters] == [*befores, cleaned.plain]
    assert [raw, *(step.after for step in steps if step.output == "text")][-1] == cleaned.text


def test_the_explanation_names_the_rules_that_acted() -> None:
    acted = [(step.rule, step.output) for step in explain("<b>Ещё</b> &laquo;курc&raquo;")]
    assert acted == [
        ("tags", "text"), ("entities", "text"), ("lookalikes", "text"),
        ("lower", "plain"), ("yo", "plain"), ("punctuation", "plain"), ("one_space", "plain"),
    ]  # fmt: skip
    assert explain("уже чисто") == []


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_is_cleaned_in_linear_time(piece: str) -> None:
    """200,000 characters each: anything quadratic would take hours."""
    cleaned = clean(piece * (200_000 // len(piece)) + ">")
    assert len(cleaned.text) <= 200_001


# What a text may hold without being markup: words and signs, of which any may stand beside any.
PROSE = st.lists(
    st.text("абвгдежзийклмнопрстуфхцчшщъыьэюя", min_size=1, max_size=8)
    | st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=6)
    | st.sampled_from([
        "x<y", "and", "z>t", "Map<Button>", "vector<int>", "<table>", "<", ">", "&&", "a[i]", "[0]", "[b]", "<img>",
        "->",         "List<b>", "if(a<b)", "C:\\new\\table", "R&D", "&x", "2 > 1", "<=>", "[1,", "2]", "#include",
        "<stdio.h>",
    ]),
    max_size=20,
).map(" ".join)  # fmt: skip


@given(PROSE)
@settings(max_examples=200, deadline=None)
def test_no_word_of_prose_with_code_is_lost(raw: str) -> None:
    """By letters alone, read by a loop that knows nothing of the rules."""
    assert letters(clean(raw).text) == letters(raw)


def letters(text: str) -> Counter[str]:
    return Counter(character for character in text if unicodedata.category(character)[0] in "LN")


@given(
    st.recursive(
        st.text("абвгд ежз", min_size=1, max_size=8),
        lambda inner: st.tuples(
            st.sampled_from(["b", "i", "p", "div", "li", "em", "td"]), st.lists(inner, min_size=1, max_size=3)
        ).map(lambda part: f"<{part[0]}>{''.join(part[1])}</{part[0]}>"),
        max_leaves=12,
    )
)
@settings(max_examples=150, deadline=None)
@example("<p>а<br>б &lt;table&gt; в</p><!-- г --><style>д</style>")
@example('<div class="x > y"><img src="a.png">а</div><script>if (a < b) "</p>"</script>б')
def test_what_stays_of_html_is_what_a_browser_shows(html: str) -> None:
    """Beside the standard library's parser: the same characters, but for blanks."""
    shown = _Shown()
    shown.feed(f"<p>{html}</p>")
    shown.close()
    assert "".join(clean(f"<p>{html}</p>").text.split()) == "".join("".join(shown.seen).split())


class _Shown(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.seen.append(data)


def test_a_batch_is_rows_of_the_table_in_the_order_given() -> None:
    texts = ["Спасибо! Курс огонь.", "<br>&nbsp;", "Good course, thanks", "!!!", "🔥"]
    batch = clean_rows(texts)
    table = CLEAN_TEXT.arrow
    assert batch.schema == pa.schema([table.field(column.name) for column in CLEAN_TEXT.values])
    assert batch.to_pylist() == [
        {"plain": "спасибо курс огонь", "text": "Спасибо! Курс огонь.", "language": "ru", "chars": 20, "words": 3,
         "sentences": 2},
        {"plain": "", "text": "", "language": "other", "chars": 0, "words": 0, "sentences": 0},
        {"plain": "good course thanks", "text": "Good course, thanks", "language": "en", "chars": 19, "words": 3,
         "sentences": 1},
        {"plain": "", "text": "!!!", "language": "other", "chars": 3, "words": 0, "sentences": 1},
        {"plain": "", "text": "🔥", "language": "other", "chars": 1, "words": 0, "sentences": 1},
    ]  # fmt: skip
    assert clean_rows([]).schema == batch.schema


def test_links_and_names_speak_for_no_language() -> None:
    tweet = "@some_body_there спасибо! https://example.com/a/very/long/link?in=latin#letters www.example.com/more"
    assert describe(clean(tweet)).language == "ru"
    assert describe(clean("@some_body Great course, thanks! [телефон] https://пример.рф/курс")).language == "en"
    assert describe(clean("@some_body https://example.com/a")).language == "other"


def test_a_term_is_one_word_to_dostoevskys_tokenizer_too() -> None:
    plain = clean("C, С++, C#, F#, ASP.NET, Node.js, Python3 на https://example.com/a от @some_body").plain
    assert plain == "c cpp csharp fsharp asp dotnet nodejs python 3 на ссылка от имя"
    assert ChunkTokenizer().line(plain) == plain


def test_sentences_are_not_ended_by_abbreviations() -> None:
    assert describe(clean("Темы: циклы, функции и т. д. хорошо объяснены. Всем советую!")).sentences == 2


def test_a_rule_does_nothing_to_a_clean_text() -> None:
    for rule in RULES_TEXT:
        assert rule("Курс по Python — огонь! 🔥") == "Курс по Python — огонь! 🔥"
    for rule in RULES_PLAIN:
        assert rule("курс по python огонь") == "курс по python огонь"
