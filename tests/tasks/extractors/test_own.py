"""A model named in the settings is an extractor like any other, in every process, and no code of its own is run."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from otzyv.flows.command.main import main
from otzyv.tasks.extractors import get, names, unavailable
from otzyv.tasks.extractors.contract import Promises
from otzyv.tasks.extractors.contract.ready import Ready
from otzyv.tasks.extractors.settings import WrongSettings
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.media.inputs import ImageInput
from otzyv.tasks.models.store import MissingWeights, WrongWeights, choose
from otzyv.tasks.models.weights import Weights
from tests.tasks.extractors.test_bert import TEXTS, tiny

load_torchvision()
import timm  # noqa: E402
import torchvision  # noqa: E402
import transformers  # noqa: E402

SIZES = {"num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 96, "max_position_embeddings": 130,
         "initializer_range": 0.15, "hidden_size": 48}  # fmt: skip
ENCODERS: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 32},
    "bert": {},
    "camembert": {},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 32},
    "distilbert": {"dim": 48, "n_layers": 1, "n_heads": 4, "hidden_dim": 96},
    "electra": {"embedding_size": 32},
    "modernbert": {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0},
    "mpnet": {},
    "roberta": {},
    "xlm-roberta": {},
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def encoder(folder: Path, kind: str = "bert", *, head: bool = False, seed: int = 5) -> Any:
    """A small network of that kind with random weights in a folder, as the hub has them."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny(folder)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = transformers.CONFIG_MAPPING[kind](vocab_size=vocabulary, **SIZES, **ENCODERS[kind])
    torch.manual_seed(seed)
    network = transformers.MODEL_MAPPING[type(config)](config).eval()
    prefix = f"{network.base_model_prefix}." if head else ""
    tensors = {prefix + name: tensor.clone() for name, tensor in network.state_dict().items()}
    if head:
        tensors["classifier.weight"] = torch.zeros(2, 48)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(config.to_json_string(use_diff=False))
    return network


def voice(folder: Path, kind: str = "wav2vec2") -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    config = transformers.CONFIG_MAPPING[kind](
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, conv_dim=(24,) * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    torch.manual_seed(6)
    network = transformers.MODEL_MAPPING[type(config)](config).eval()
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    config.save_pretrained(folder)
    return network


def picture(folder: Path, kind: str = "resnet18") -> Any:
    """A network of timm in a folder, as ``timm.push_to_hf_hub`` lays it out."""
    from timm.models import save_for_hf

    torch.manual_seed(7)
    made: Any = timm.create_model(kind, pretrained=False, num_classes=3).eval()
    save_for_hf(made, str(folder), model_config={"num_classes": 3}, safe_serialization=True)
    return made


def sentence_transformer(folder: Path, *, pooling: dict[str, Any], modules: tuple[str, ...] = ()) -> None:
    encoder(folder)
    kinds = modules or ("sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling")
    paths = ("", "1_Pooling", "2_Normalize")
    listed = [{"idx": i, "name": str(i), "path": paths[i], "type": kind} for i, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 77, "do_lower_case": false}')
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def settings(patch: pytest.MonkeyPatch, folder: Path, **models: dict[str, Any]) -> Path:
    """A settings file that names these models, made this process's."""
    lines = []
    for name, fields in models.items():
        lines += [f"[extractors.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]
    file = folder / "settings.toml"
    file.write_text("\n".join(lines))
    patch.setenv("OTZYV_SETTINGS", str(file))
    return file


OWN: dict[str, Callable[[Path], object]] = {
    "text_mine": functools.partial(encoder, kind="xlm-roberta"),
    "text_sentences": functools.partial(sentence_transformer, pooling={"pooling_mode": "cls"}),
    "audio_mine": voice,
    "image_mine": picture,
}
KINDS = {
    "text_mine": "transformers", "text_sentences": "sentence-transformers", "audio_mine": "transformers",
    "image_mine": "timm",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Settings with a model of each kind, and a store that is empty."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        for name, make in OWN.items():
            make(folder / name)
        settings(patch, folder, **{n: {"kind": KINDS[n], "model": str(folder / n)} for n in OWN})
        patch.setenv("OTZYV_MODELS", str(folder / "store"))
        yield folder


class TestOwn(Promises):
    @pytest.fixture(scope="class", params=OWN)
    @classmethod
    def prepared(cls, request: pytest.FixtureRequest, named: Path) -> Ready:
        found = get(request.param)
        return Ready(found, choose(found.card), "random weights")


def loaded(name: str, **changes: Any) -> Any:
    found = get(name)
    run = found.load(dataclasses.replace(found.card, **changes), choose(found.card))
    return lambda contents: np.asarray(run(contents))


def plain(network: Any, folder: Path, text: str, pooling: str, tokens: int = 500) -> np.ndarray:
    """What transformers gives for a text alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, truncation=True, max_length=tokens, return_tensors="pt").input_ids
    with torch.inference_mode():
        hidden = network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
    vector: np.ndarray = torch.nn.functional.normalize(hidden[0] if pooling == "cls" else hidden.mean(0), dim=0).numpy()
    return vector


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_gives_what_plain_transformers_gives(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = encoder(tmp_path / "net", kind, head=True)
    settings(monkeypatch, tmp_path, text_net={"kind": "transformers", "model": str(tmp_path / "net"), "max_tokens": 64})
    card = get("text_net").card
    assert (card.dim, card.unit, card.modality) == (48, True, "text")
    theirs = np.array([plain(network, tmp_path / "net", text, "mean", 64) for text in TEXTS])
    assert np.abs(theirs @ theirs.T - np.eye(len(TEXTS))).max() < 0.997  # else the next line would prove nothing
    for precision, cosine in (("f32", 0.99999), ("bf16", 0.999)):
        assert (loaded("text_net", precision=precision)(list(TEXTS)) * theirs).sum(axis=1).min() >= cosine


def test_a_text_is_read_as_far_as_the_network_has_positions(named: Path) -> None:
    network = OWN["text_mine"](named / "text_mine")
    long = "ужас " * 300
    theirs = plain(network, named / "text_mine", long, "mean", 128)  # of 130, the padding's and the one before go off
    assert loaded("text_mine", precision="f32")([long])[0] @ theirs > 0.99999
    assert plain(network, named / "text_mine", long, "mean", 127) @ theirs < 0.99999999


def test_a_folder_by_sentence_transformers_says_itself_how_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    encoder(tmp_path / "bare")
    for pooling in ("cls", "mean"):
        network = Transformer(str(tmp_path / "bare"), max_seq_length=40)
        theirs = SentenceTransformer(modules=[network, Pooling(48, pooling), Normalize()], device="cpu")
        theirs.save(str(tmp_path / pooling), create_model_card=False)
        settings(monkeypatch, tmp_path, text_net={"kind": "sentence-transformers", "model": str(tmp_path / pooling)})
        assert dict(get("text_net").card.settings) == {"max_tokens": 40, "pooling": pooling}
        ours = loaded("text_net", precision="f32")(list(TEXTS))
        assert (ours * theirs.encode(list(TEXTS))).sum(axis=1).min() > 0.99999


def test_a_network_for_sound_hears_as_plain_transformers_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = voice(tmp_path / "net", "hubert")
    settings(monkeypatch, tmp_path, audio_net={"kind": "transformers", "model": str(tmp_path / "net")})
    samples = np.random.default_rng(3).normal(0, 0.1, 9_000).astype(np.float32)
    with torch.inference_mode():
        normalised = torch.from_numpy((samples - samples.mean()) / samples.std())[None]
        theirs = network(normalised).last_hidden_state[0].mean(dim=0).numpy()
    np.testing.assert_allclose(loaded("audio_net", precision="f32")([samples])[0], theirs, atol=1e-3)


@pytest.mark.parametrize("kind", ["resnet18", "mobilenetv3_small_100", "vit_tiny_patch16_224"])
def test_a_network_of_timm_sees_as_timm_does(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = picture(tmp_path / "net", kind)
    settings(monkeypatch, tmp_path, image_net={"kind": "timm", "model": str(tmp_path / "net")})
    card, seen = get("image_net").card, made.pretrained_cfg
    assert isinstance(card.input, ImageInput)
    assert (card.input.crop, card.input.interpolation) == (seen["input_size"][1], seen["interpolation"])
    assert card.input.resize == int(seen["input_size"][1] / seen["crop_pct"])
    side = seen["input_size"][1]
    pictures = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), np.uint8)
    pictures[1] //= 3
    normalised = (torch.from_numpy(pictures).float() / 255 - torch.tensor(seen["mean"])) / torch.tensor(seen["std"])
    with torch.inference_mode():
        theirs = made.forward_head(made.forward_features(normalised.permute(0, 3, 1, 2)), pre_logits=True).numpy()
    assert card.dim == theirs.shape[1]
    np.testing.assert_allclose(loaded("image_net", precision="f32")(list(pictures)), theirs, rtol=1e-3, atol=1e-3)


def test_a_network_of_torchvision_is_told_by_the_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = torchvision.models.shufflenet_v2_x0_5(weights=None, num_classes=3).eval()
    torch.save(made.state_dict(), tmp_path / "mine.pth")
    said = {"kind": "torchvision", "model": str(tmp_path / "mine.pth"), "network": "shufflenet_v2_x0_5",
            "classifier": "fc", "dim": 1024, "resize": 72, "crop": 64}  # fmt: skip
    settings(monkeypatch, tmp_path, image_net=said)
    pictures = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    made.fc = torch.nn.Identity()
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    with torch.inference_mode():
        theirs = made(((torch.from_numpy(pictures).float() / 255 - mean) / std).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(loaded("image_net", precision="f32")(list(pictures)), theirs, rtol=1e-3, atol=1e-4)
    settings(monkeypatch, tmp_path, image_net={**said, "network": "resnet18"})
    with pytest.raises(WrongWeights, match=r"image_net: mine\.pth does not hold torchvision:resnet18"):
        loaded("image_net")
    for key in ("network", "classifier", "dim"):
        settings(monkeypatch, tmp_path, image_net={name: value for name, value in said.items() if name != key})
        with pytest.raises(WrongSettings, match=f"{key}: kind 'torchvision' needs it"):
            get("image_net")
    settings(monkeypatch, tmp_path, image_net={**said, "model": str(tmp_path / "none.pth")})
    with pytest.raises(WrongSettings, match=r"there is no file none\.pth"):
        get("image_net")


def test_it_is_known_in_every_process_and_its_fingerprint_is_that_of_its_files_and_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "net"
    encoder(folder)
    said = {"kind": "transformers", "model": str(folder), "pooling": "mean"}
    file = settings(monkeypatch, tmp_path, text_net=said)
    before = get("text_net").card.fingerprint()
    code = "from otzyv.tasks.extractors import get, names; "
    code += "print('text_net' in names(), get('text_net').card.fingerprint())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", before]
    settings(monkeypatch, tmp_path, text_net={**said, "pooling": "cls"})
    assert get("text_net").card.fingerprint() != before
    settings(monkeypatch, tmp_path, text_net=said)
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"][5, 5] += 1
    save_file(tensors, folder / "model.safetensors")
    assert get("text_net").card.fingerprint() != before
    monkeypatch.setenv("OTZYV_EXTRACTORS", json.dumps({"text_other": said}))
    file.unlink()
    monkeypatch.delenv("OTZYV_SETTINGS")
    assert {"text_other"} == {name for name in names() if get(name).card.notes == "Named in the settings."}


def test_a_model_on_the_hub_is_pulled_at_its_commit_and_held_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otzyv.tasks.models import fetch

    hub = tmp_path / "hub"
    encoder(hub)
    asked = []

    def fetched(name: str, weights: Weights, file: Any, path: Path, progress: object) -> None:
        asked.append(file.url)
        path.write_bytes((hub / file.name).read_bytes())

    monkeypatch.setattr(fetch, "fetch", fetched)
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "models"))
    said = {"kind": "transformers", "model": "somebody/rubert", "revision": COMMIT, "licence": "MIT"}
    settings(monkeypatch, tmp_path, text_net=said)
    unknown = get("text_net").card
    assert unknown.table.arrow.field("embedding").type == pa.list_(pa.float32())
    with pytest.raises(MissingWeights, match="otzyv models pull text_net"):
        get("text_net").load(unknown, choose(unknown))

    refused = CliRunner().invoke(main, ["models", "pull", "text_net"])
    assert (refused.exit_code, asked) == (1, [])
    assert "`otzyv models pull text_net --allow-unpinned text_net` allows it once" in refused.output
    pulled = CliRunner().invoke(main, ["models", "pull", "text_net", "--allow-unpinned", "text_net"])
    assert pulled.exit_code == 0, pulled.output
    assert f"https://huggingface.co/somebody/rubert {COMMIT}, licence MIT" in pulled.output
    assert asked == [f"https://huggingface.co/somebody/rubert/resolve/{COMMIT}/{file}"
                     for file in ("model.safetensors", "config.json", "tokenizer.json")]  # fmt: skip
    card = get("text_net").card
    assert card.dim == 48
    assert card.table.arrow == unknown.table.arrow
    assert card.fingerprint() != unknown.fingerprint()
    assert [file.sha256 for file in card.weights[0].files] == [
        hashlib.sha256((hub / file.name).read_bytes()).hexdigest() for file in card.weights[0].files
    ]
    assert loaded("text_net")(list(TEXTS)).shape == (len(TEXTS), 48)

    archive = tmp_path / "weights.tar"
    assert CliRunner().invoke(main, ["models", "export", "text_net", "--to", str(archive)]).exit_code == 0
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "elsewhere"))
    refused = CliRunner().invoke(main, ["models", "import", str(archive)])
    assert (refused.exit_code, "--allow-unpinned text_net" in refused.output) == (1, True)
    taken = CliRunner().invoke(main, ["models", "import", str(archive), "--allow-unpinned", "text_net"])
    assert taken.exit_code == 0, taken.output
    assert get("text_net").card == card
    encoder(hub, seed=6)
    (place,) = (tmp_path / "elsewhere").rglob("model.safetensors")
    place.write_bytes((hub / "model.safetensors").read_bytes())
    with pytest.raises(WrongWeights, match=r"text_net: model\.safetensors has sha256"):
        loaded("text_net")
    settings(monkeypatch, tmp_path, text_net={**said, "revision": COMMIT[::-1]})
    assert get("text_net").card.dim is None  # another commit's files are other files


GOOD = {"kind": "transformers", "model": "somebody/something", "revision": COMMIT}
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "prefix": ("mine", GOOD, "begins with text_, image_ or audio_"),
    "name": ("text_Мой", GOOD, "a-z, 0-9 and _"),
    "taken": ("text_navec", GOOD, "there is an extractor of that name already"),
    "modality": ("audio_x", {**GOOD, "kind": "sentence-transformers"}, "'sentence-transformers' reads text"),
    "kind": ("text_x", {**GOOD, "kind": "pickle"}, "'transformers', 'sentence-transformers', 'timm' or 'torchvision'"),
    "missing": ("text_x", {"kind": "transformers"}, "extractors.text_x.model: Field required"),
    "unknown": ("text_x", {**GOOD, "color": "red"}, "no setting 'extractors.text_x.color'; there are: kind, model, "),
    "mistyped": ("text_x", {**GOOD, "poling": "mean"}, "no setting 'extractors.text_x.poling'; is pooling meant?"),
    "revision": ("text_x", {**GOOD, "revision": "main"}, "revision: give the hub's commit, 40 hex digits"),
    "hub name": ("text_x", {**GOOD, "model": "rubert"}, "neither a folder nor a name on the hub"),
    "traversal": ("text_x", {**GOOD, "model": "../x"}, "there is no file model.safetensors, config.json"),
    "surplus": ("text_x", {**GOOD, "network": "resnet18"}, "network: not a setting of kind 'transformers'"),
    "pooling": ("text_x", {**GOOD, "pooling": "max"}, "'cls' or 'mean'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_one_clear_line(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, fields, said = WRONG[case]
    monkeypatch.setenv("OTZYV_EXTRACTORS", json.dumps({name: fields}))
    monkeypatch.delenv("OTZYV_SETTINGS", raising=False)
    ((part, reason),) = ((part, reason) for part, reason in unavailable().items() if part != "text_openai")
    assert said in reason
    assert name in reason
    assert "\n" not in reason
    shown = CliRunner().invoke(main, ["models"])
    assert shown.exit_code == 0
    assert f"unavailable: {part}: {reason}\n" in shown.output
    assert get("text_navec").card.name in shown.output  # what is not broken goes on
    if case != "taken":
        with pytest.raises(WrongSettings) as error:
            get(name)
        assert str(error.value) == reason
        refused = CliRunner().invoke(main, ["models", "where", name])
        assert (refused.exit_code, refused.output) == (2, f"Error: {reason}\n")


def test_files_that_cannot_be_used_are_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "net"
    encoder(folder)
    good = json.loads((folder / "config.json").read_text())

    def refused(said: str, **fields: Any) -> None:
        settings(monkeypatch, tmp_path, text_net={"kind": "transformers", "model": str(folder), **fields})
        with pytest.raises(WrongSettings, match=said):
            get("text_net")
        assert "text_net" not in names()

    refused("max_tokens: it can read 130 at most, not 500", max_tokens=500)
    refused(r"there is no file modules\.json, sentence_bert_config\.json, 1_Pooling", kind="sentence-transformers")
    code = {"auto_map": {"AutoModel": "modeling.Mine", "AutoConfig": "modeling.Config"}}
    (folder / "modeling.py").write_text("raise SystemExit('run')")
    (folder / "config.json").write_text(json.dumps({**good, **code, "model_type": "mine"}))
    refused("config.json is of a 'mine'; encoders of texts are albert, bert")
    (folder / "config.json").write_text(json.dumps({**good, **code}))
    settings(monkeypatch, tmp_path, text_net={"kind": "transformers", "model": str(folder)})
    assert loaded("text_net")(["а"]).shape == (1, 48)  # by the library's BERT: the code beside it is not run
    (folder / "config.json").write_text("{")
    refused("Expecting property name")

    for pooling, said in (({"pooling_mode": "max"}, "asks for max; there are cls and mean"), ({}, "asks for nothing")):
        sentence_transformer(folder, pooling=pooling)
        refused(said, kind="sentence-transformers")
    dense = ("models.Transformer", "models.Pooling", "models.Dense")
    sentence_transformer(folder, pooling={"pooling_mode_cls_token": True}, modules=dense)
    refused("modules.json lists Transformer in '', Pooling in '1_Pooling', Dense", kind="sentence-transformers")
