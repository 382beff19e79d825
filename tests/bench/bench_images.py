"""From image files to embeddings, beside the loop that torchvision's documentation suggests."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from otzyv.tasks.extractors import Extractor
from otzyv.tasks.extractors.image.vision import filled
from otzyv.tasks.extractors.loop import Content, extract
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.models.store import locate
from tests.bench.figure import Figure, alternate
from tests.tasks.extractors.ready import ready

if TYPE_CHECKING:
    import torch

COUNT = 64
TARGETS = {"image_resnet50": ">= 3", "image_mobilenetv2": ">= 3.8"}
Vectors = np.ndarray[Any, np.dtype[np.float32]]


def figures() -> Iterator[Figure]:
    files = photographs(COUNT)
    for name, target in TARGETS.items():
        yield from _network(name, target, files)


def photographs(count: int) -> list[bytes]:
    """JPEGs of 1 to 3 megapixels with the detail of natural scenes: amplitudes fall with frequency (Field 1987)."""
    random = np.random.default_rng(0)
    made = []
    for megapixels in random.uniform(1, 3, count):
        height = int(np.sqrt(megapixels * 1e6 / 1.5))
        width = int(1.5 * height)
        rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
        falling = 1 / np.maximum(np.hypot(rows, columns), 1 / width) ** random.uniform(0.9, 1.2)
        shape = (3, *falling.shape)
        spectrum = falling * (random.standard_normal(shape) + 1j * random.standard_normal(shape))
        grey, *tints = np.fft.irfft2(spectrum, (height, width))
        colours = [grey / grey.std() + 0.4 * tint / tint.std() for tint in (tints[0], -tints[0], tints[1])]
        pixels = np.clip(random.uniform(90, 160) + 45 * np.stack(colours, axis=2), 0, 255).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=int(random.integers(80, 95)))
        made.append(stream.getvalue())
    return made


def _network(name: str, target: str, files: Sequence[bytes]) -> Iterator[Figure]:
    with ready(name) as made:
        card, weights, what = made.extractor.card, made.weights, made.what
        assert weights is not None
        loaded = made.load()
        (path,) = locate(name, weights).values()
        obvious = _loop(filled(card, path), files)
    known = Extractor(card, lambda card, weights: loaded)
    contents = [Content(hashlib.sha256(data).hexdigest(), len(data), io.BytesIO(data).getvalue) for data in files]

    def ours() -> Vectors:
        column = [batch.column("embedding") for batch in extract(known, weights, contents)]
        return np.concatenate([part.flatten().to_numpy() for part in column]).reshape(len(files), -1)

    mine, theirs = ours(), obvious()
    plain, centred = _cosines(mine, theirs), _cosines(mine - theirs.mean(axis=0), theirs - theirs.mean(axis=0))
    seconds, other, ratio = alternate(ours, obvious, runs=3)
    megapixels = [np.prod(Image.open(io.BytesIO(data)).size) / 1e6 for data in files]
    detail = (
        f"{len(files)} JPEGs of {min(megapixels):.1f} to {max(megapixels):.1f} megapixels, files to vectors, {what}, "
        f"precision {card.precision}"
    )
    speed = f"{len(files) / seconds:.1f} against {len(files) / other:.1f} images a second"
    yield Figure(f"{name}, against torchvision's loop", ratio, target, f"{detail}; {speed}")
    yield Figure(
        f"{name}, worst cosine to torchvision's loop",
        float(plain.min()),
        ">= 0.995",
        f"{detail}; the mean subtracted: worst {centred.min():.4f}, mean {centred.mean():.4f}",
        unit="",
    )


def _loop(model: torch.nn.Module, files: Sequence[bytes]) -> Callable[[], Vectors]:
    """The weights' transforms, a DataLoader with two workers, float32, batches of 32."""
    load_torchvision()
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms._presets import ImageClassification

    transform = ImageClassification(crop_size=224)

    class Files(Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int) -> torch.Tensor:
            picture: torch.Tensor = transform(Image.open(io.BytesIO(files[index])).convert("RGB"))
            return picture

    def run() -> Vectors:
        with torch.inference_mode():
            batches = [model(batch).numpy() for batch in DataLoader(Files(), batch_size=32, num_workers=2)]
        return np.concatenate(batches)

    return run


def _cosines(ours: Vectors, theirs: Vectors) -> Vectors:
    return np.asarray((ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1))
