"""MARS: radio map super-resolution with CNN blocks and a light Transformer.

The blocks are those of its parent ESRT (Lu et al., CVPRW 2022, arXiv 2108.11084), by the
parameter counts of the paper. One decomposition reaches the paper's totals, 1,449,819 at
4x and 1,523,803 at 8x; it is inferred from them, not published, and not the only one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from rm_geo.networks.fields import pull_push
from rm_geo.networks.upsampling import enlarge, upsampler, with_building_mask


class _Scales(nn.Module):
    """Learnt scalar factors, all one at the start."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.ones(count))

    def forward(self, index: int, x: Tensor) -> Tensor:
        """Scale ``x`` by factor ``index``."""
        return torch.mul(self.value[index], x)


class _ChannelAttention(nn.Module):
    """Squeeze-and-excitation with a reduction to a sixteenth of the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(1, width // 16)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels."""
        weighted: Tensor = x * self.gate(x)
        return weighted


class _ResidualUnit(nn.Module):
    """``s1 x + s2 conv(PReLU(conv(x)))`` through half the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.body = nn.Sequential(
            nn.Conv2d(width, half, 3, padding=1),
            nn.PReLU(half),
            nn.Conv2d(half, width, 3, padding=1),
        )
        self.scales = _Scales(2)

    def forward(self, x: Tensor) -> Tensor:
        """Add the scaled body to the scaled input."""
        return torch.add(self.scales(0, x), self.scales(1, self.body(x)))


class ARFB(nn.Module):
    """Adaptive residual feature block of ESRT; 29,995 parameters at 32 channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _ResidualUnit(width)
        self.second = _ResidualUnit(width)
        self.fuse = nn.Sequential(nn.Conv2d(2 * width, width, 1, bias=False), nn.ReLU(inplace=True))
        self.attention = _ChannelAttention(width)
        self.last = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.ReLU(inplace=True)
        )
        self.scales = _Scales(5)

    def forward(self, x: Tensor) -> Tensor:
        """Refine features (B, C, H, W)."""
        a = self.first(x)
        b = self.second(a)
        both = torch.cat([self.scales(0, b), self.scales(1, a)], 1)
        gated = self.scales(2, self.attention(self.fuse(both)))
        return torch.add(self.scales(3, x), self.scales(4, self.last(gated)))


class HPB(nn.Module):
    """High-preserving block of ESRT; 122,190 parameters at 32 channels.

    The high-frequency part (what average pooling loses) takes its own path; the low one is
    refined at half the resolution by one block applied several times.
    """

    def __init__(self, width: int, repeats: int = 5) -> None:
        super().__init__()
        self.repeats = repeats
        self.first = ARFB(width)
        self.low = ARFB(width)
        self.high = ARFB(width)
        self.fuse = nn.Sequential(nn.Conv2d(2 * width, width, 1, bias=False), nn.ReLU(inplace=True))
        self.attention = _ChannelAttention(width)
        self.last = ARFB(width)

    def forward(self, x: Tensor) -> Tensor:
        """Refine features (B, C, H, W); H and W even."""
        features = self.first(x)
        low = functional.avg_pool2d(features, 2)
        high = self.high(features - enlarge(low, 2))
        for _ in range(self.repeats):
            low = self.low(low)
        fused = self.attention(self.fuse(torch.cat([high, enlarge(low, 2)], 1)))
        return torch.add(self.last(fused), x)


class EfficientTransformer(nn.Module):
    """ET of ESRT: attention over 3 x 3 patches; 188,424 parameters at 32 channels.

    Tokens are the unfolded 3 x 3 neighbourhoods (9 C values each). Attention works on half
    of that and within ``splits`` parts of the sequence, which bounds its memory.
    """

    def __init__(self, width: int, heads: int = 8, splits: int = 4) -> None:
        super().__init__()
        dim = 9 * width
        self.heads, self.splits = heads, splits
        self.scale = (dim / heads) ** -0.5
        self.norm1 = nn.LayerNorm(dim)
        self.reduce = nn.Linear(dim, dim // 2, bias=False)
        self.qkv = nn.Linear(dim // 2, dim // 2 * 3, bias=False)
        self.project = nn.Linear(dim // 2, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, dim // 4), nn.ReLU(inplace=True), nn.Linear(dim // 4, dim)
        )

    def _attend(self, tokens: Tensor) -> Tensor:
        """Multi-head attention within each part of the sequence."""
        batch, length, _ = tokens.shape
        splits = math.gcd(self.splits, length)
        qkv = self.qkv(self.reduce(tokens))
        qkv = qkv.reshape(batch * splits, length // splits, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v, scale=self.scale)
        joined: Tensor = self.project(mixed.transpose(1, 2).reshape(batch, length, -1))
        return joined

    def forward(self, x: Tensor) -> Tensor:
        """Mix features (B, C, H, W) over the whole image."""
        size = (int(x.shape[-2]), int(x.shape[-1]))
        tokens = functional.unfold(x, 3, padding=1).transpose(1, 2)
        tokens = tokens + self._attend(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return functional.fold(tokens.transpose(1, 2), size, 3, padding=1)


class PyramidAttention(nn.Module):
    """PAU: an ET at full, half and quarter resolution, joined on the way up."""

    def __init__(self, width: int, heads: int = 8) -> None:
        super().__init__()
        self.mix_full = EfficientTransformer(width, heads)
        self.mix_half = EfficientTransformer(width, heads)
        self.mix_quarter = EfficientTransformer(width, heads)
        self.up_half = nn.Conv2d(width, width, 3, padding=1)
        self.up_full = nn.Conv2d(width, width, 3, padding=1)
        self.scales = _Scales(2)
        self.fuse = nn.Conv2d(3 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Mix features (B, C, H, W) at three scales; H and W multiples of 4."""
        full = self.mix_full(x)
        half = self.mix_half(functional.avg_pool2d(x, 2))
        quarter = self.mix_quarter(functional.avg_pool2d(x, 4))
        low = half + self.scales(0, self.up_half(enlarge(quarter, 2)))
        top = full + self.scales(1, self.up_full(enlarge(low, 2)))
        fused = self.fuse(torch.cat([top, enlarge(low, 2), enlarge(quarter, 4)], 1))
        return torch.add(fused, x)


class MARS(nn.Module):
    """Multi-scale attention radio map super-resolution.

    Parameters
    ----------
    scale : {2, 4, 8}
        Enlargement along each axis; the paper's "4x" is 64 x 64 in, 256 x 256 out.
    width : int
        Channels; the paper's is 32. A multiple of 16 keeps the heads whole.
    blocks : int
        High-preserving blocks; the paper has 4.
    repeats : int
        Times that each block refines its low-frequency part; ESRT has 5.
    heads : int
        Attention heads; ESRT has 8.
    residual : bool
        Whether the network corrects a bilinear enlargement instead of painting the map.
        False is the paper's.
    masked : bool
        Whether the network reads a second channel that says which samples lie in buildings.
        False is the paper's.
    walled : bool
        Whether the network is told where the walls are, at the resolution of its output: all
        that is known of a known scene. Samples in buildings are filled from those around them
        then, and the walls read as ``scale`` x ``scale`` channels. False is the paper's.

    Raises
    ------
    ValueError
        If it is to be both ``masked`` and ``walled``: walls tell which samples lie in buildings.

    Notes
    -----
    1,449,819 parameters at 4x and 1,523,803 at 8x with the paper's values. Input and
    output are on the unit scale, see :mod:`rm_geo.units`; a sample inside a building is 0.
    """

    def __init__(
        self,
        scale: int = 4,
        width: int = 32,
        blocks: int = 4,
        repeats: int = 5,
        heads: int = 8,
        *,
        residual: bool = False,
        masked: bool = False,
        walled: bool = False,
    ) -> None:
        super().__init__()
        if masked and walled:
            raise ValueError("masked and walled exclude each other")
        self.scale, self.residual, self.masked, self.walled = scale, residual, masked, walled
        self.head = nn.Conv2d(2 + scale**2 if walled else 1 + masked, width, 3, padding=1)
        self.blocks = nn.ModuleList(HPB(width, repeats) for _ in range(blocks))
        self.collect = nn.Conv2d(blocks * width, width, 3, padding=1)
        self.pyramid = PyramidAttention(width, heads)
        self.mix = EfficientTransformer(width, heads)
        self.tail = nn.Sequential(upsampler(width, scale), nn.Conv2d(width, 1, 3, padding=1))
        self.branch = nn.Sequential(
            upsampler(width, scale), nn.Conv2d(width, 1, 3, padding=1, bias=False)
        )
        if residual:  # a correction starts at nothing: the first map is the bilinear one
            for last in (self.tail[-1], self.branch[-1]):
                for parameter in last.parameters():
                    nn.init.zeros_(parameter)

    def forward(self, x: Tensor, walls: Tensor | None = None) -> Tensor:
        """Enlarge (B, 1, h, w) to (B, 1, scale h, scale w); h and w multiples of 4.

        ``walls``, shape (B, 1, scale h, scale w), are 1 in buildings; only a network that is
        ``walled`` takes them, and then it needs them.
        """
        if (walls is not None) is not self.walled:
            raise ValueError("walls are for a network that is walled, and it needs them")
        if walls is not None:
            known = (x > 0.0).to(x.dtype)
            x = pull_push(x, known)
            outlines = functional.pixel_unshuffle(walls.to(x.dtype), self.scale)
            shallow = self.head(torch.cat([x, 1.0 - known, outlines], 1))
        else:
            shallow = self.head(with_building_mask(x) if self.masked else x)
        features, collected = shallow, []
        for block in self.blocks:
            features = block(features)
            collected.append(features)
        deep = self.mix(self.pyramid(self.collect(torch.cat(collected, 1))))
        out = torch.add(self.tail(deep), self.branch(shallow))
        return out + enlarge(x, self.scale) if self.residual else out
