"""Networks with fixed random weights, in the files in which their real weights are published."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.contract.contents import TEXTS
from otzyv.tasks.extractors.image.vision import build
from otzyv.tasks.extractors.text.sentiment import LABELS
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.media.inputs import ImageInput
from otzyv.tasks.models import store
from otzyv.tasks.models.weights import File, Weights

Floats = np.ndarray[Any, np.dtype[np.float32]]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Tensors = dict[str, torch.Tensor]

SHARED_RUBERT = Path(__file__).parents[4] / "shared" / "models" / "text_rubert_tiny2"
"""Where its real tokenizer and shape are."""


def random_weights(card: Card, tokenizer: Path = SHARED_RUBERT, *, state: Tensors | None = None) -> Weights:
    """The card's network, as large as the published one, in the model store under its publisher's names and formats.

    ``tokenizer``: where rubert-tiny2's real one is, to stand beside it; one of the tests' own where it is not there.
    ``state``: a picture network's random weights where they are made already.
    """
    load_torchvision()  # transformers imports it for its image models
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of writing files
    weights = card.weights[0]
    folder = store.root() / (weights.folder or card.name)
    folder.mkdir(parents=True, exist_ok=True)
    if card.modality == "image":
        _picture_network(card, folder / weights.files[0].name, state or random_state(shapes(card)))
    else:
        _WRITERS[card.name](folder)
        if _WRITERS[card.name] is _encoder:
            _encoders_tokenizer(folder, tokenizer)
    made = files_in(folder, *(file.name for file in weights.files), folder=weights.folder)
    size, published = made.files[0].bytes or 0, weights.files[0].bytes or weights.files[0].about
    if published and card.name != "audio_silero_vad":  # which holds another network, for 8 kHz, besides
        assert abs(size - published) < 0.03 * published, f"{card.name}: {size:,} bytes, its publisher's {published:,}"
    return made


def files_in(place: Path, *names: str, folder: str = "") -> Weights:
    """Files that lie in a folder of the model store, as weights."""
    files = tuple(File(name, store.sha256(place / name), bytes=(place / name).stat().st_size) for name in names)
    return Weights("made here", "1", "none", files, folder=folder)


def random_state(shapes: Tensors, seed: int = 0) -> Tensors:
    """Weights that keep the size of what passes, and normalisations that change something. The same on any machine."""
    random = np.random.default_rng(seed)
    state = {}
    for name, tensor in shapes.items():
        if tensor.ndim == 0:
            state[name] = torch.tensor(0)
            continue
        values: Floats = random.random(tensor.numel(), dtype=np.float32).reshape(tensor.shape)
        if name.endswith(("bias", "running_mean")):
            values -= np.float32(0.5)
            values *= np.float32(0.2)
        elif tensor.ndim > 1:
            values -= np.float32(0.5)
            values *= np.float32((24 / tensor[0].numel()) ** 0.5)
        else:
            values += np.float32(0.5)
        state[name] = torch.from_numpy(values)
    return state


def filled_at_random(card: Card) -> torch.nn.Module:
    """The card's network as its library builds it."""
    with torch.device("meta"):
        module = build(card)
    module.load_state_dict(random_state(module.state_dict()), assign=True)
    return module


def _picture_network(card: Card, path: Path, state: Tensors) -> None:
    if path.suffix == ".weights":
        path.write_bytes(darknet_file(state))
        return
    rest = {name: tensor for name, tensor in shapes(as_published(card)).items()
            if name not in state or state[name].shape != tensor.shape}  # fmt: skip
    whole = state | random_state(rest, seed=1)
    torch.save({published_name(name): tensor for name, tensor in whole.items()}, path)


def shapes(card: Card) -> Tensors:
    """Names and shapes of the card's network, without numbers."""
    with torch.device("meta"):
        state: Tensors = build(card).state_dict()
    return state


def as_published(card: Card) -> Card:
    """With what the publisher's file holds besides."""
    settings = dict(card.settings)
    options = dict(settings["options"])
    if "aux_logits" in options:
        options["aux_logits"] = True  # the heads for training
    if card.name in ("image_inceptionresnetv2", "image_nasnetlarge"):
        options["num_classes"] = 1001  # a class for the background
    settings["options"] = tuple(options.items())
    return dataclasses.replace(card, settings=tuple(settings.items()))


def published_name(name: str) -> str:
    """What densenet's file calls a tensor."""
    for part in ("norm1", "norm2", "conv1", "conv2"):
        name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.") if "denselayer" in name else name
    return name


def darknet_file(state: Tensors) -> bytes:
    """Header (version 0.2, pictures seen), then of each convolution biases, its normalisation, kernels."""
    parts = [np.array([0, 2, 0], "<i4"), np.array([32_013_312], "<i8")]
    normalised = ("1.bias", "1.weight", "1.running_mean", "1.running_var", "0.weight")
    names = [f"conv{count}.{name}" for count in range(1, 19) for name in normalised]
    parts += [state[name].numpy().astype("<f4") for name in (*names, "conv19.bias", "conv19.weight")]
    return b"".join(part.tobytes() for part in parts)


def _encoder(folder: Path) -> None:
    """rubert-tiny2, its pre-training heads beside it."""
    from transformers import BertConfig, BertForPreTraining

    config = BertConfig(
        vocab_size=83_828, hidden_size=312, num_hidden_layers=3, num_attention_heads=12, intermediate_size=600,
        max_position_embeddings=2048,
    )  # fmt: skip
    _save(BertForPreTraining, config, folder)


def _encoders_tokenizer(folder: Path, real: Path) -> None:
    if not real.is_dir():
        save_tokenizer(folder, TEXTS)
        return
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).write_bytes((real / name).read_bytes())


def _classifier(folder: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=29_564, hidden_size=312, num_hidden_layers=3, num_attention_heads=12, intermediate_size=600,
        max_position_embeddings=512, id2label={0: "negative", 1: "neutral", 2: "positive"},
        label2id={"negative": 0, "neutral": 1, "positive": 2},
    )  # fmt: skip
    _save(BertForSequenceClassification, config, folder)
    save_tokenizer(folder, TEXTS)


def save_tokenizer(folder: Path, texts: Iterable[str]) -> list[str]:
    """A BERT's tokenizer, in all the files that have it, and its vocabulary: letters, and the texts' words in pieces of
    at most four.
    """
    import tokenizers
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing

    letters = "абвгдеёжзийклмнопрстуфхцчшщъыьэюяАБВГДЕЖЗИКЛМНОПРСТУФХЧШЭЮЯabcdefghijklmnopqrstuvwxyz.,!:-"
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    words = dict.fromkeys(word for text in texts for word in text.split())
    pieces = [("##" if start else "") + word[start : start + 4] for word in words for start in range(0, len(word), 4)]
    vocabulary = [*dict.fromkeys([*special, *pieces, *letters, *("##" + letter for letter in letters)])]
    made = tokenizers.Tokenizer(WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    made.normalizer = BertNormalizer(lowercase=False)
    made.pre_tokenizer = BertPreTokenizer()
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    made.enable_padding(pad_token="[PAD]")  # as saved by someone who had used it so: it must not slow us down
    made.save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": false}')
    return vocabulary


def _dostoevsky(folder: Path) -> None:
    """Trained as the real one was, on next to nothing."""
    import fasttext

    lines = folder / "lines.txt"
    said = zip(LABELS, (*TEXTS, "спасибо"), strict=True)
    lines.write_text("".join(f"__label__{label} {text}\n" for label, text in said) * 100, encoding="utf-8")
    fasttext.train_supervised(
        str(lines), epoch=10, lr=0.21909, dim=64, wordNgrams=3, minn=2, maxn=5, bucket=259_929, loss="ova", thread=1,
        verbose=0,
    ).save_model(str(folder / "fasttext-social-network-model.bin"))  # fmt: skip


def _wav2vec2(folder: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

    with torch.device("meta"):
        network = Wav2Vec2ForPreTraining(Wav2Vec2Config())
    save_speech(folder, network.config, random_state(network.state_dict()))


def _hubert(folder: Path) -> None:
    from transformers import HubertConfig, HubertModel

    with torch.device("meta"):
        network = HubertModel(HubertConfig())
    save_speech(folder, network.config, random_state(network.state_dict()))


def save_speech(folder: Path, config: Any, state: Mapping[str, torch.Tensor], file: str = "pytorch_model.bin") -> None:
    """A wav2vec 2.0 or a HuBERT, under the names that published checkpoints have."""
    from safetensors.torch import save_file

    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = dict(state)
    for new, was in old.items():
        name = next(name for name in tensors if name.endswith(new))
        tensors[name.replace(new, was)] = tensors.pop(name)
    config.save_pretrained(folder)
    if file.endswith(".bin"):
        torch.save(tensors, folder / file)
    else:
        save_file(tensors, folder / file)


def _ast(folder: Path) -> None:
    from transformers import ASTConfig, ASTForAudioClassification

    _save(ASTForAudioClassification, ASTConfig(num_labels=527), folder)


def _save(kind: Any, config: Any, folder: Path) -> None:
    """A network by transformers in the files that it writes itself: model.safetensors and config.json."""
    with torch.device("meta"):
        network = kind(config)
    network.load_state_dict(random_state(network.state_dict()), assign=True)
    network.tie_weights()
    network.save_pretrained(folder)


def _silero_vad(folder: Path) -> None:
    """The network for 16 kHz: spectrum, four convolutions, an LSTM and a probability."""
    from torch.nn import Conv1d, LSTMCell, ReLU, Sequential
    from torch.onnx._internal.torchscript_exporter import onnx_proto_utils

    class Listener(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.spectrum = Conv1d(1, 258, 256, stride=128, bias=False)
            shapes = ((129, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1))
            convolutions = (Conv1d(before, after, 3, stride, padding=1) for before, after, stride in shapes)
            self.encoder = Sequential(*(part for each in convolutions for part in (each, ReLU())))
            self.memory = LSTMCell(128, 128)
            self.decoder = Conv1d(128, 1, 1)

        def forward(
            self, samples: torch.Tensor, state: torch.Tensor, rate: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            real, imaginary = self.spectrum(torch.nn.functional.pad(samples, (0, 64), "reflect")[:, None]).split(129, 1)
            seen = self.encoder((real**2 + imaginary**2).sqrt())[:, :, 0]
            hidden, cell = self.memory(seen, (state[0], state[1]))
            probability = self.decoder(hidden.relu()[:, :, None]).sigmoid().mean(dim=2)
            return probability, torch.stack([hidden, cell]) + 0 * rate

    network = Listener().eval()
    network.load_state_dict(random_state(network.state_dict()))
    example = (torch.zeros(1, 576), torch.zeros(2, 1, 128), torch.tensor(16_000))
    # All that it wants the package onnx for are functions of one's own in the file, and there are none.
    with patch.object(onnx_proto_utils, "_add_onnxscript_fn", lambda file, _: file), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is old, and does not fold all constants
        torch.onnx.export(
            network, example, folder / "silero_vad.onnx", dynamo=False,
            input_names=["input", "state", "sr"], output_names=["output", "stateN"],
        )  # fmt: skip


_WRITERS: Mapping[str, Callable[[Path], None]] = {
    "sentiment_dostoevsky": _dostoevsky,
    "sentiment_rubert": _classifier,
    "text_rubert_tiny2": _encoder,
    "text_bert_word": _encoder,
    "audio_silero_vad": _silero_vad,
    "audio_wav2vec2": _wav2vec2,
    "audio_hubert": _hubert,
    "audio_ast": _ast,
}


def picture(side: int, seed: int = 0) -> Pixels:
    """Smooth waves of colour with noise."""
    random = np.random.default_rng(seed)
    down, right = np.mgrid[:side, :side, :1][:2] * (12 / side)
    waves = 128 + 100 * np.sin(down * (1 + seed) + right * np.array([1.0, 2.0, 3.0]))
    noisy: Pixels = (waves + random.normal(0, 12, waves.shape)).clip(0, 255).astype(np.uint8)
    return noisy


def expected(card: Card, module: torch.nn.Module, pictures: list[Pixels], normalise: Callable[[Any], Any]) -> Floats:
    """What the library's own network has before its classifier, averaged over the picture."""
    assert isinstance(card.input, ImageInput)
    seen: list[torch.Tensor] = []
    layer = module.get_submodule(dict(card.settings)["head"])
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        module(normalise(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255))
    handle.remove()
    values: Floats = (seen[-1].mean(dim=(2, 3)) if seen[-1].ndim == 4 else seen[-1]).numpy()
    return values
