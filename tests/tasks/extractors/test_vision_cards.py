"""The cards of the networks for images say what the architectures, the weights' publishers and the lecture say."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.image.vision_cards import CARDS, FROM_PACKAGES
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.media.inputs import ImageInput
from tests.tasks.extractors import layers

LECTURE = {
    "squeezenet": (1.24, 227), "googlenet": (7.0, 224), "inceptionv3": (23.9, 299), "densenet201": (20.0, 224),
    "mobilenetv2": (3.5, 224), "resnet18": (11.7, 224), "resnet50": (25.6, 224), "resnet101": (44.6, 224),
    "xception": (22.9, 299), "inceptionresnetv2": (55.9, 299), "shufflenet": (1.4, 224), "nasnetmobile": (5.3, 224),
    "nasnetlarge": (88.9, 331), "darknet19": (20.8, 256), "darknet53": (41.6, 256), "efficientnetb0": (5.3, 224),
    "alexnet": (61.0, 227), "vgg16": (138, 224), "vgg19": (144, 224),
}  # fmt: skip
"""Parameters in millions and side of the input, by the lecture's table."""
each_network = pytest.mark.parametrize("card", CARDS, ids=[card.name for card in CARDS])


def library(name: str) -> list[tuple[Card, str]]:
    """The cards whose network comes from a library, and what it calls the network."""
    networks = [(card, dict(card.settings)["network"].partition(":")) for card in CARDS]
    return [(card, network) for card, (of, _, network) in networks if of == name]


def side(card: Card) -> int:
    assert isinstance(card.input, ImageInput)
    assert card.input.crop is not None
    return card.input.crop


def test_every_network_of_the_lecture_is_there_with_as_many_parameters_and_its_input_beside() -> None:
    assert [card.name for card in CARDS] == [f"image_{name}" for name in LECTURE]
    for card, (millions, lecture_input) in zip(CARDS, LECTURE.values(), strict=True):
        assert card.parameters is not None
        assert card.parameters / 1e6 == pytest.approx(millions, rel=0.06), card.name
        assert card.lecture_input == lecture_input


@pytest.mark.parametrize("card", [*CARDS, *FROM_PACKAGES], ids=lambda card: card.name)
def test_the_network_has_the_parameters_the_dimension_and_the_layers_that_its_card_says(card: Card) -> None:
    module, found = layers.shapes(card)
    assert sum(each.numel() for each in module.parameters()) == card.parameters
    assert found.pop("")[1] == card.dim
    assert {name: shape[1] for name, shape in found.items()} == card.layers, (
        "write them anew: python -m tests.tasks.extractors.layers"
    )


@pytest.mark.parametrize(("card", "network"), library("torchvision"))
def test_weights_and_preprocessing_are_those_that_torchvision_publishes(card: Card, network: str) -> None:
    weights = load_torchvision().models.get_model_weights(network).IMAGENET1K_V1
    file = card.weights[0].files[0]
    assert file.url == weights.url
    assert file.about == round(weights.meta["_file_size"] * 2**20)
    assert len(file.sha256) >= 8
    assert file.name.endswith(f"-{file.sha256}.pth")
    if network != "inception_v3":  # counted with its auxiliary classifier there, and googlenet's without
        assert card.parameters == weights.meta["num_params"]
    preset = weights.transforms()
    assert card.input == ImageInput(preset.resize_size[0], preset.crop_size[0], preset.interpolation.value)
    settings = dict(card.settings)
    if network in ("googlenet", "inception_v3"):  # which undo torchvision's normalisation within: to -1 to 1
        assert settings["mean"] == settings["std"] == (0.5, 0.5, 0.5)
    else:
        assert (settings["mean"], settings["std"]) == (tuple(preset.mean), tuple(preset.std))


@pytest.mark.parametrize(("card", "network"), library("timm"))
def test_weights_and_preprocessing_are_those_that_timm_publishes(card: Card, network: str) -> None:
    load_torchvision()
    import timm

    found = timm.get_pretrained_cfg(network)
    assert found is not None
    published = dataclasses.asdict(found)
    file = card.weights[0].files[0]
    if network == "inception_resnet_v2":  # whose file of before the hub timm no longer names
        assert file.url
        assert file.url.endswith("v0.1-weights/inception_resnet_v2-940b1cd6.pth")
    else:
        assert file.url == published["url"]
    assert file.name.endswith(f"-{file.sha256}.pth")
    assert published["input_size"] == (3, side(card), side(card))
    resize = int(side(card) / published["crop_pct"])
    assert card.input == ImageInput(resize, side(card), published["interpolation"])
    settings = dict(card.settings)
    assert (settings["mean"], settings["std"]) == (published["mean"], published["std"])
    assert published["classifier"] == settings["head"]
    assert card.licence.lower() == published["license"] or "license" not in published


def test_an_inner_layer_has_a_card_of_its_own() -> None:
    whole, inner = get("image_resnet50").card, get("image_resnet50@layer2").card
    assert (inner.name, inner.table.name, inner.dim) == ("image_resnet50@layer2", "image_resnet50@layer2", 512)
    assert (whole.dim, inner.profiles) == (2048, frozenset())
    others = (whole, get("image_resnet50@layer2.3").card, get("image_resnet101@layer2").card)
    assert inner.fingerprint() not in [other.fingerprint() for other in others]
    assert get("image_vgg16@classifier.0").card.dim == 4096
    assert get("image_densenet201@features.denseblock3.denselayer48").card.dim == 32


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("image_resnet50@layer5", "no layer 'layer5'; there are: conv1, bn1, relu, maxpool, layer1, .* within them"),
        ("image_resnet50@fc", "no layer 'fc'"),  # the classifier: its output is no embedding
        ("image_layout@hue", "image_layout has no layer 'hue'; there are: none but the last"),
        ("image_resnet51@layer2", "no extractor 'image_resnet51'; there are: sentiment_"),
        ("image_resnet50@layer2@layer1", "no layer 'layer2@layer1'"),
    ],
)
def test_an_unknown_layer_is_told_what_there_is(name: str, said: str) -> None:
    with pytest.raises(LookupError, match=said):
        get(name)


def test_an_inner_layers_card_is_known_without_torch() -> None:
    program = "import sys; from otzyv.tasks.extractors import get; get('image_nasnetlarge@cell_9').card.fingerprint()\n"
    program += "print([name for name in ('torch', 'timm', 'torchvision', 'openvino') if name in sys.modules])"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "[]\n"
