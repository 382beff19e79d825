"""A network gives what torch gives, batch for batch and in order, however many run at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from otzyv.tasks.inference.network import Network, network
from otzyv.tasks.inference.torchvision_shim import load_torchvision

Backend = Literal["openvino", "torch"]
Precision = Literal["f32", "bf16"]
TOLERANCE: Mapping[str, float] = {"f32": 1e-5, "bf16": 3e-2}


class Attention(torch.nn.Module):
    """Two inputs of free length, and rows that do not see one another."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.embed = torch.nn.Embedding(50, 32)
        self.inner = torch.nn.Linear(32, 64)
        self.out = torch.nn.Linear(64, 32)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.embed(ids)
        bias = (1.0 - mask.to(hidden.dtype))[:, None] * -1e4
        mixed = torch.softmax(hidden @ hidden.transpose(1, 2) / 32**0.5 + bias, dim=-1) @ hidden
        hidden = self.out(torch.nn.functional.gelu(self.inner(mixed)))
        return torch.nn.functional.normalize(hidden[:, 0], dim=-1)


INPUTS = {"ids": (np.int64, (-1, -1)), "mask": (np.int64, (-1, -1))}


@pytest.fixture(scope="module", params=[("openvino", "f32"), ("openvino", "bf16"), ("torch", "f32"), ("torch", "bf16")])
def made(request: pytest.FixtureRequest) -> tuple[Network, float]:
    backend, precision = request.param
    return network(Attention(), INPUTS, backend=backend, precision=precision, streams=2), TOLERANCE[precision]


def batches(count: int = 16) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    shapes = [(int(rng.integers(1, 9)), int(rng.integers(2, 90))) for _ in range(count)]
    return [{"ids": rng.integers(0, 50, shape), "mask": np.ones(shape, np.int64)} for shape in shapes]


def test_every_batch_comes_out_in_its_place_as_float32_torch_has_it(made: tuple[Network, float]) -> None:
    net, tolerance = made
    module = Attention().eval()
    count = 0
    for batch, ours in zip(batches(), net(iter(batches())), strict=True):
        with torch.inference_mode():
            theirs = module(*(torch.from_numpy(array) for array in batch.values())).numpy()
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=tolerance)
        count += 1
    assert count == 16


def test_a_row_does_not_depend_on_its_neighbours_nor_on_padding(made: tuple[Network, float]) -> None:
    net, tolerance = made
    ids = np.random.default_rng(5).integers(0, 50, (6, 20))
    mask = np.arange(20) < np.array([[20], [3], [11], [7], [20], [1]])
    (together,) = net([{"ids": ids, "mask": mask.astype(np.int64)}])
    lengths = mask.sum(axis=1)
    apart = net({"ids": ids[row, None, :n], "mask": np.ones((1, n), np.int64)} for row, n in enumerate(lengths))
    np.testing.assert_allclose(np.concatenate(list(apart)), together, atol=tolerance)


def test_it_reads_only_a_few_batches_ahead_and_can_be_left_early(made: tuple[Network, float]) -> None:
    net, tolerance = made
    read = 0

    def endless() -> Iterator[dict[str, np.ndarray]]:
        nonlocal read
        while True:
            read += 1
            yield {"ids": np.full((4, 30), read % 50), "mask": np.ones((4, 30), np.int64)}

    results = net(endless())
    for _ in range(10):
        next(results)
    assert read <= 10 + 5
    results.close()  # type: ignore[attr-defined]
    (after,) = net([{"ids": np.full((1, 30), 1), "mask": np.ones((1, 30), np.int64)}])
    (again,) = net([{"ids": np.full((1, 30), 1), "mask": np.ones((1, 30), np.int64)}])
    np.testing.assert_allclose(after, again, atol=tolerance)


def test_an_error_of_the_source_of_batches_reaches_the_caller(made: tuple[Network, float]) -> None:
    def broken() -> Iterator[dict[str, np.ndarray]]:
        yield batches(1)[0]
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="the file is gone"):
        list(made[0](broken()))


def test_openvino_is_loaded_without_telemetry_and_writes_nothing_to_the_home(tmp_path: Path) -> None:
    code = (
        "import sys; from otzyv.tasks.inference.network import load_openvino; load_openvino().Core()\n"
        "print([name for name in sys.modules if 'telemetry' in name and 'openvino_' in name and sys.modules[name]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"HOME": str(tmp_path), "PATH": ""}, capture_output=True, text=True,
        cwd=Path(__file__).parents[3], check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"
    assert not list(tmp_path.iterdir())


def test_torchvision_s_models_and_transforms_load_beside_this_torch() -> None:
    torchvision = load_torchvision()
    assert load_torchvision() is torchvision
    from torchvision.models import mobilenet_v2
    from torchvision.transforms import v2

    image = v2.Resize(64)(torch.zeros((3, 100, 80), dtype=torch.uint8)).float()[None] / 255
    with torch.inference_mode():
        assert mobilenet_v2(weights=None).eval()(image).shape == (1, 1000)
