"""Attention as OpenVINO computes it rightly, for transformers' networks that read whole inputs without padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def register_attention() -> str:
    """Make ``attend`` known to transformers; the name to give as ``attn_implementation``."""
    from transformers import AttentionInterface

    AttentionInterface.register(attend.__name__, attend)
    return attend.__name__


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of every frame to every frame, under a mask that hides none.

    Without a mask OpenVINO 2026.4.1 computes it wrongly from 16 frames on (and bf16 gives NaN), however it is written.
    """
    from torch.nn.functional import scaled_dot_product_attention

    nothing = query.new_zeros(1, 1, 1, key.shape[2])
    return scaled_dot_product_attention(query, key, value, attn_mask=nothing, scale=scaling).transpose(1, 2), None
