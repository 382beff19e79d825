"""Networks made to be filled draw no weights of their own, and disturb no one who does."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
import torch
from torch.nn import Linear, init

from otzyv.tasks.inference.skip_init import skip_init
from otzyv.tasks.inference.torchvision_shim import load_torchvision

load_torchvision()
from transformers import BertConfig, BertModel  # noqa: E402

SHAPE = BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8, vocab_size=9)


def test_nothing_is_drawn_and_constants_are_set_as_ever() -> None:
    before = torch.get_rng_state()
    with skip_init():
        model = BertModel(SHAPE)
        assert torch.equal(init.constant_(torch.zeros(3), 2.0), torch.full((3,), 2.0))
    assert torch.equal(torch.get_rng_state(), before)
    drawn = BertModel(SHAPE)
    assert not torch.equal(torch.get_rng_state(), before)
    for name, tensor in model.state_dict().items():
        if "LayerNorm" in name or name.endswith("bias"):
            assert torch.equal(tensor, drawn.state_dict()[name]), name


def test_numbers_drawn_within_bounds_are_drawn_until_they_lie_there(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = []

    def used_memory(tensor: torch.Tensor) -> torch.Tensor:
        draws.append(tensor)
        assert len(draws) < 9, "it would go on for ever"
        return torch.full_like(tensor, 1e9)

    monkeypatch.setattr(torch, "empty_like", used_memory)
    weight = torch.nn.Parameter(torch.full((64, 64), 1e9))
    with skip_init():
        init.trunc_normal_(weight, std=0.02)
    assert weight.abs().max() <= 2


def test_who_makes_a_network_at_the_same_time_has_it_drawn() -> None:
    begun, made = Barrier(2, timeout=30), Barrier(2, timeout=30)
    drawn = []

    def draw() -> None:
        begun.wait()
        before = torch.get_rng_state()
        Linear(4, 4)
        drawn.append(not torch.equal(torch.get_rng_state(), before))
        made.wait()

    thread = Thread(target=draw)
    thread.start()
    with skip_init():
        begun.wait()
        made.wait()
    thread.join()
    assert drawn == [True]
