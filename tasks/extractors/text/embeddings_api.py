"""Text vectors from any API that speaks OpenAI's protocol, within a budget.

Each request's price is set aside before it is sent, counted so that the API can't ask for more. An answer is journalled
before anything else is done with it. A request without an answer may have been charged: what was set aside for it stays
so, and it is sent again only if the budget suffices for that too.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import os
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from otzyv.schemas.errors import ModelError
from otzyv.tasks.extractors.budget import Account, Spending, account
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.errors import ExtractorFailed, Unavailable
from otzyv.tasks.extractors.extractor import Configured, Extractor, register
from otzyv.tasks.models.store import MissingWeights, locate
from otzyv.tasks.models.weights import File, Weights

if TYPE_CHECKING:
    import openai

    from otzyv.tasks.extractors.settings import OpenAISettings

KEY = "OPENAI_API_KEY"
"""The environment variable that holds the key, and the only place it is read from."""
REQUEST_TEXTS, REQUEST_TOKENS = 128, 300_000
"""The most in one request. The protocol allows 2,048 texts; fewer are lost when a process dies with one under way."""
TRIES = 6
"""How often in a row a request may fail before the API counts as not to be had."""
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds before a request is sent again; they double each time. An API that names a time is given that."""
PATIENCE = 120.0
"""Seconds that an API may ask to be left alone; one that asks for more counts as not to be had."""
MARKS = 2
"""Tokens that some tokenizers put around a text."""

ENCODING = Weights(
    source="https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
    revision="cl100k_base",
    licence="MIT",
    files=(
        File("cl100k_base.tiktoken", "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
             "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"),
    ),
)  # fmt: skip
"""Token ids of OpenAI's embedding models, as tiktoken lists them."""
_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s"
)
"""Where cl100k_base cuts a text before it looks for tokens (tiktoken, openai_public.py)."""

_WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class MissingKey(ModelError):
    """The environment holds no key for the API."""


TEXT_OPENAI = Card(
    name="text_openai",
    version=1,
    modality="text",
    doc="vector by an OpenAI-compatible API",
    licence="by contract with the API's provider",
    source="https://api.openai.com, or the API that the settings name",
    dim=1536,
    backend="api",
    tolerance=1e-3,
    settings=(("host", "api.openai.com"), ("model", "text-embedding-3-small")),
    batch_rows=512,
    notes="Paid: the settings' [openai] say what tokens cost and what a run may spend, OPENAI_API_KEY holds the key. "
    "Tokens are counted exactly where the model is OpenAI's and text_openai/cl100k_base.tiktoken lies in the model "
    "store, else as UTF-8 bytes, which no byte-level tokenizer exceeds.",
)


def cost(card: Card, texts: Iterable[str]) -> float | None:
    """What the API will ask for these texts, in the settings' money; None where its tokens can't be counted here."""
    settings = _settings()
    if settings is not None and not settings.price:
        return 0.0
    count = _exact(settings) if settings else None
    if settings is None or count is None:
        return None
    tokens = [count(text) for text in texts if text.strip() and len(text) <= card.limit]
    return float(_money(sum(size for size in tokens if size <= settings.max_tokens), settings))


@register(TEXT_OPENAI, cost=cost)
def text_openai(card: Card, weights: Weights | None) -> Run:
    """n texts -> n rows of embedding and status: ``ok``, ``over_budget``, or ``too_large`` for the model.

    Raises MissingKey; WrongSettings; WrongWeights where the encoding's file is not the right one. The function raises
    Unavailable where the API can't be had, ExtractorFailed where it refuses, or answers otherwise than the card says.
    """
    from otzyv.tasks.extractors.settings import WrongSettings

    settings = _settings()
    if settings is None:
        raise WrongSettings(
            f"{card.name}: the settings lack [openai]; say at least price (money per million tokens, by the API's "
            f"price list) and budget (the most that a run may spend)"
        )
    if not os.environ.get(KEY):
        raise MissingKey(f"{card.name}: the environment lacks {KEY}, the key for {settings.host}")
    return _Api(card, settings)


def configured(registered: Collection[str]) -> Configured:
    """``text_openai`` as the settings have it; none where they say nothing of it, unavailable where they are broken."""
    from otzyv.tasks.extractors.settings import WrongSettings

    try:
        settings = _settings()
    except WrongSettings as error:
        return Configured({}, {TEXT_OPENAI.name: error})
    if settings is None:
        return Configured({}, {})
    card = replace(
        TEXT_OPENAI,
        doc=f"vector of {settings.model} by an OpenAI-compatible API",
        source=f"{urlsplit(settings.base_url).scheme}://{settings.host}",
        dim=settings.dimensions,
        settings=(("host", settings.host), ("model", settings.model)),
    )
    return Configured({card.name: Extractor(card, text_openai, cost=cost)}, {})


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    key: str
    tokens: int


class _Failed(Exception):
    """A request failed in a way that another try may mend. ``wait``: seconds the API asks for."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


class _Api:
    def __init__(self, card: Card, settings: OpenAISettings) -> None:
        self._card = card
        self._settings = settings
        self._count = _exact(settings) or _bound
        self._alone = Account(Spending())  # where nobody has opened an account

    def __call__(self, texts: Sequence[str]) -> pa.RecordBatch:
        import openai

        paid = account() or self._alone
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        vectors = dict(paid.journal.find(keys)) if paid.journal else {}
        statuses = dict.fromkeys(vectors, "ok")
        waiting = deque[_Text]()
        for key, text in dict(zip(keys, texts, strict=True)).items():
            if key not in vectors:
                tokens = self._count(text)
                if tokens > self._settings.max_tokens and self._count is not _bound:
                    statuses[key] = "too_large"
                else:
                    waiting.append(_Text(text, key, tokens))
        if waiting:
            settings = self._settings
            with openai.OpenAI(
                api_key=os.environ[KEY], base_url=settings.base_url, timeout=settings.timeout, max_retries=0
            ) as client:
                self._ask(client, paid, waiting, vectors, statuses)
        return self._rows(keys, vectors, statuses)

    def _ask(
        self,
        client: openai.OpenAI,
        paid: Account,
        waiting: deque[_Text],
        vectors: dict[str, np.ndarray],
        statuses: dict[str, str],
    ) -> None:
        """Ask for all that waits, as far as the budget goes."""
        failures = 0
        while waiting:
            batch = self._reserved(paid, waiting)
            if not batch:
                statuses[waiting.popleft().key] = "over_budget"
                continue
            _take_turn(self._settings)
            try:
                found = self._request(client, paid, batch)
            except _Failed as failure:
                failures += 1
                if failures == TRIES or (failure.wait or 0) > PATIENCE:
                    raise Unavailable(
                        f"{self._card.name}: {self._settings.host} is unavailable: {failure}, {failures} times in a row"
                        + (f"; it asks to wait {failure.wait:,.0f} s" if failure.wait else "")
                    ) from None
                waiting.extendleft(reversed(batch))
                time.sleep(max(failure.wait or 0, _delay(failures)))
                continue
            if found is None:
                statuses[batch[0].key] = "too_large"
                continue
            # Of an answer that lacks some of its vectors, those that came are kept, and the others asked for again.
            vectors.update(found)
            statuses.update(dict.fromkeys(found, "ok"))
            left = [text for text in batch if text.key not in found]
            waiting.extendleft(reversed(left))
            failures = failures + 1 if left else 0
            if failures == TRIES:
                raise ExtractorFailed(
                    f"{self._card.name}: {self._settings.host} left out {len(left)} of {len(batch)} vectors, and did "
                    f"so {failures} times in a row"
                )

    def _reserved(self, paid: Account, waiting: deque[_Text]) -> list[_Text]:
        """The next request's texts, each one's price set aside; none where the budget does not suffice for the first.

        A text that may be too long for the model goes alone, so that its refusal concerns no other.
        """
        batch: list[_Text] = []
        tokens = 0
        while waiting and len(batch) < REQUEST_TEXTS:
            new = waiting[0].tokens
            long = new > self._settings.max_tokens
            if batch and (long or tokens + new > REQUEST_TOKENS):
                break
            if not paid.spending.reserve(_money(new, self._settings), self._settings.budget):
                break
            batch.append(waiting.popleft())
            tokens += new
            if long:
                break
        return batch

    def _request(self, client: openai.OpenAI, paid: Account, batch: Sequence[_Text]) -> dict[str, np.ndarray] | None:
        """One request: the vectors by their text's key, journalled and paid; None where the text is too long.

        Raises _Failed and ExtractorFailed, which tell nothing that the API said in words: it may quote a text.
        """
        import openai

        settings, reserved = self._settings, _money(sum(text.tokens for text in batch), self._settings)
        clock = time.perf_counter()
        try:
            answer = client.embeddings.create(
                input=[text.text for text in batch],
                model=settings.model,
                dimensions=settings.dimensions if settings.ask_dimensions else openai.omit,
            )
        except openai.APITimeoutError:
            raise _Failed(f"no answer in {settings.timeout:g} s") from None
        except openai.APIConnectionError:
            raise _Failed("no connection, or one that broke off") from None
        except openai.APIStatusError as error:
            if error.status_code < 500:
                paid.spending.release(reserved)  # refused, so not charged
            if error.status_code == 400 and batch[0].tokens > settings.max_tokens:
                return None
            raise self._refusal(error) from None
        except Exception as error:  # the client's readers raise whatever an answer that is none makes them
            raise _Failed(f"an answer that can't be read ({type(error).__name__})") from None
        seconds = time.perf_counter() - clock
        asked = _asked(answer, settings, otherwise=reserved)
        paid.seconds.append(seconds)
        paid.money += asked
        paid.spending.release(reserved - asked)
        vectors = self._vectors(batch, answer)
        if paid.journal and vectors:
            paid.journal.keep(list(vectors), np.stack(list(vectors.values())))
        if asked > reserved:
            raise ExtractorFailed(
                f"{self._card.name}: {settings.host} asked {asked} for {len(batch)} texts that can cost {reserved} at "
                f"most by their {'bytes' if self._count is _bound else 'tokens'}: with it no budget can be kept"
            )
        return vectors

    def _vectors(self, batch: Sequence[_Text], answer: Any) -> dict[str, np.ndarray]:
        """The vectors that came, by their text's key. ExtractorFailed where one is not as the card says."""
        dim, found = self._card.dim, dict[str, np.ndarray]()
        for item in getattr(answer, "data", None) or ():
            place, values = getattr(item, "index", None), getattr(item, "embedding", None)
            if not isinstance(place, int) or not 0 <= place < len(batch) or not isinstance(values, list):
                continue
            if len(values) != dim:
                raise ExtractorFailed(
                    f"{self._card.name}: {self._settings.model} at {self._settings.host} gave vectors of {len(values)} "
                    f"numbers; the settings say dimensions = {dim}"
                )
            found[batch[place].key] = np.array(values, np.float32)
        return found

    def _refusal(self, error: openai.APIStatusError) -> Exception:
        """What an answer with an error's status means: another try, or none."""
        status, said = error.status_code, f"status {error.status_code}"
        if error.code and _WORD.fullmatch(error.code):
            said += f", {error.code}"
        again = status >= 500 or status in (408, 409, 429)
        if again and error.code != "insufficient_quota":
            return _Failed(said, _retry_after(error.response.headers))
        host, model = self._settings.host, self._settings.model
        why = {
            401: f"it does not know the key in {KEY}",
            403: f"the key in {KEY} may not do this",
            404: f"it has no model {model!r}, or base_url is not where its API begins",
            429: "its account has no money left",
        }.get(status, "it does not take such a request; see the settings' model, dimensions and ask_dimensions")
        return ExtractorFailed(f"{self._card.name}: {host} refused ({said}): {why}")

    def _rows(self, keys: Sequence[str], vectors: dict[str, np.ndarray], statuses: dict[str, str]) -> pa.RecordBatch:
        embedding = pa.array([vectors.get(key) for key in keys], pa.list_(pa.float32()))
        status = pa.array([statuses[key] for key in keys], pa.string())
        return pa.record_batch({"embedding": embedding, "status": status})


def _settings() -> OpenAISettings | None:
    if not any(name.upper() in ("OTZYV_SETTINGS", "OTZYV_OPENAI") for name in os.environ):
        return None
    from otzyv.tasks.extractors.settings import extractor_settings

    return extractor_settings().openai


def _money(tokens: int, settings: OpenAISettings) -> Decimal:
    return tokens * settings.price / 1_000_000


def _asked(answer: Any, settings: OpenAISettings, *, otherwise: Decimal) -> Decimal:
    """What an answer says it costs, ``otherwise`` where it says nothing."""
    tokens = getattr(getattr(answer, "usage", None), "total_tokens", None)
    return _money(tokens, settings) if isinstance(tokens, int) and tokens >= 0 else otherwise


def _bound(text: str) -> int:
    """No tokenizer that begins with single bytes makes more tokens of a text than it has bytes."""
    return len(text.encode()) + MARKS


def _exact(settings: OpenAISettings) -> Callable[[str], int] | None:
    """Counts the tokens of OpenAI's models, by the encoding's file in the model store; None where that can't be."""
    from tiktoken.model import MODEL_TO_ENCODING

    if MODEL_TO_ENCODING.get(settings.model) != ENCODING.revision:
        return None
    try:
        (path,) = locate(TEXT_OPENAI.name, ENCODING).values()
    except MissingWeights:
        return None
    import tiktoken

    # Read here: tiktoken's own reader would take a copy in the temporary folder for it, whoever put that there.
    lines = path.read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, _, rank in (line.partition(b" ") for line in lines)}
    encoding = tiktoken.Encoding(ENCODING.revision, pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})
    return lambda text: len(encoding.encode_ordinary(text))


_free: dict[str, float] = {}
"""Host -> when its next request may be sent, by the monotonic clock."""
_turns = threading.Lock()


def _take_turn(settings: OpenAISettings) -> None:
    """Wait until a request may be sent: they are spread evenly, over all that this process asks of the host."""
    if settings.requests_per_minute is None:
        return
    with _turns:
        now = time.monotonic()
        turn = max(now, _free.get(settings.host, now))
        _free[settings.host] = turn + 60 / settings.requests_per_minute
    time.sleep(turn - now)


def _delay(failures: int) -> float:
    """Seconds before the next try; not quite the same for all who were refused together."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (failures - 1)) * random.uniform(0.8, 1.2)  # noqa: S311  # no secret


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: RFC 9110, section 10.2.3, a number or a date."""
    said = headers.get("retry-after")
    if said is None:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        wanted = email.utils.parsedate_to_datetime(said).timestamp()
    except ValueError:
        return None
    return max(0.0, wanted - time.time())
