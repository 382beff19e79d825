"""Networks for images beside torch in float32: the forward pass alone, of pictures that are decoded already.

ResNet-50 runs with fixed random weights, on which a cosine proves little; MobileNetV2 with its real ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.image.vision import filled, vision
from otzyv.tasks.media.decode import decode
from otzyv.tasks.models.store import locate
from tests.bench.figure import Figure, alternate
from tests.tasks.extractors.networks import Pixels, expected, picture
from tests.tasks.extractors.ready import ready

SHARED = Path(__file__).parents[2].parent / "shared"


def figures() -> Iterator[Figure]:
    yield from _beside("image_resnet50")
    yield from _beside("image_mobilenetv2")


def _beside(name: str) -> Iterator[Figure]:
    import torch

    pictures = _pictures(name, 48)
    with ready(name) as made:
        card, weights = made.extractor.card, made.weights
        assert weights is not None
        ours = vision(card, weights)
        (path,) = locate(name, weights).values()
        module = filled(card, path)

    settings = dict(card.settings)
    mean, std = (torch.tensor(settings[part])[:, None, None] for part in ("mean", "std"))
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)

    def plain() -> None:
        with torch.inference_mode():
            for part in torch.split(batch, 16):
                module((part.float() / 255 - mean) / std)

    seconds, other, ratio = alternate(lambda: ours(pictures), plain)
    one = np.asarray(ours(pictures))
    two = expected(card, module, pictures, lambda each: (each - mean) / std)
    cosine = (one * two).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    detail = (
        f"{len(pictures)} pictures, {made.what}, {card.precision}: "
        f"{len(pictures) / seconds:.0f} against {len(pictures) / other:.0f} a second"
    )
    yield Figure(f"{name}, forward, of torch in float32", ratio, ">= 3", detail)
    yield Figure(f"{name}, worst cosine to float32", float(cosine.min()), ">= 0.9999", detail, unit="")


def _pictures(name: str, count: int) -> list[Pixels]:
    spec = get(name).card.input
    assert spec is not None
    folders = (SHARED / "data" / "images" / folder for folder in ("coral", "skimage"))
    photographs = [path for folder in folders for path in sorted(folder.glob("*.jpg"))]
    found = [decode(spec, path.read_bytes()) for path in photographs[:count]]
    return [*found, *(picture(224, seed) for seed in range(count - len(found)))]
