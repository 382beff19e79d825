"""NASNet-A Mobile (4 @ 1056), of timm's cells for the large one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def nasnet_mobile() -> torch.nn.Module:
    """Zoph et al. 2017, arXiv:1707.07012: three stacks of four cells, with the names of Cadene's published weights.

    Cells keep the numbers they have in the large network, whose stacks are of six. Each reads the two before it.
    """
    from timm.models import nasnet
    from torch import nn

    filters, stem = 1056 // 24, 32

    def stack(first: nn.Module, left: int, right: int, width: int, number: int) -> dict[str, nn.Module]:
        """Four cells of 6 x ``width`` channels; the second still reads ``left`` channels of what is before."""
        sides = [(left, right), (right, 6 * width), (6 * width, 6 * width), (6 * width, 6 * width)]
        normal = [nasnet.NormalCell(a, width, b, width, "same") for a, b in sides[1:]]
        return {f"cell_{number + place}": cell for place, cell in enumerate([first, *normal])}

    class NASNetMobile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            f = filters
            self.conv0 = nn.Sequential()
            self.conv0.add_module("conv", nn.Conv2d(3, stem, 3, stride=2, bias=False))
            self.conv0.add_module("bn", nn.BatchNorm2d(stem, eps=0.001))
            self.cell_stem_0 = nasnet.CellStem0(stem, f // 4, "same")
            self.cell_stem_1 = nasnet.CellStem1(stem, f // 2, "same")
            cells = stack(nasnet.FirstCell(f, f // 2, 2 * f, f, "same"), f, 2 * f, f, 0)
            cells["reduction_cell_0"] = nasnet.ReductionCell0(6 * f, 2 * f, 6 * f, 2 * f, "same")
            cells |= stack(nasnet.FirstCell(6 * f, f, 8 * f, 2 * f, "same"), 6 * f, 8 * f, 2 * f, 6)
            cells["reduction_cell_1"] = nasnet.ReductionCell1(12 * f, 4 * f, 12 * f, 4 * f, "same")
            cells |= stack(nasnet.FirstCell(12 * f, 2 * f, 16 * f, 4 * f, "same"), 12 * f, 16 * f, 4 * f, 12)
            for name, cell in cells.items():
                self.add_module(name, cell)
            self.cells = tuple(cells)
            # What lies beyond the border is not counted, as in training; timm's own pooling counts it as zeros.
            self.cell_stem_0.comb_iter_2_left = nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)  # of 111 x 111
            for cell in (self.cell_stem_1, cells["reduction_cell_0"], cells["reduction_cell_1"]):  # of even sides
                cell.set_submodule("comb_iter_2_left", nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False))
            self.act = nn.ReLU()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.last_linear = nn.Linear(24 * f, 1000)

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            start = self.conv0(pictures)
            before = self.cell_stem_0(start)
            last = self.cell_stem_1(start, before)
            for name in self.cells:
                before, last = last, self.get_submodule(name)(last, before)
            logits: torch.Tensor = self.last_linear(self.pool(self.act(last)).flatten(1))
            return logits

    return NASNetMobile()
