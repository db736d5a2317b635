"""MARS: radio map super-resolution with CNN blocks and a light Transformer.

The blocks are those of ESRT (Lu et al., CVPRW 2022, arXiv 2108.11084), on which MARS is based.
Their arrangement is inferred from the parameter counts in the MARS paper, 1,449,819 at 4x and
1,523,803 at 8x. It is not published, and other arrangements have the same counts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from rm_geo.networks.features import pull_push
from rm_geo.networks.upsampling import enlarge, upsampler, with_building_mask


class _Scales(nn.Module):
    """Trainable scalar factors, initialised with 1."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.ones(count))

    def forward(self, index: int, x: Tensor) -> Tensor:
        """Multiply ``x`` by factor ``index``."""
        return torch.mul(self.value[index], x)


class _ChannelAttention(nn.Module):
    """Squeeze-and-excitation with a reduction to 1/16 of the channels."""

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
        """Multiply the channels by their weights."""
        weighted: Tensor = x * self.gate(x)
        return weighted


class _ResidualUnit(nn.Module):
    """``s1 x + s2 conv(PReLU(conv(x)))`` with half of the channels inside."""

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
    """Adaptive residual feature block of ESRT, with 29,995 parameters at 32 channels.

    Parameters
    ----------
    width : int
        Number of channels, even.
    """

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
        """Map features (B, C, H, W) to (B, C, H, W)."""
        a = self.first(x)
        b = self.second(a)
        both = torch.cat([self.scales(0, b), self.scales(1, a)], 1)
        gated = self.scales(2, self.attention(self.fuse(both)))
        return torch.add(self.scales(3, x), self.scales(4, self.last(gated)))


class HPB(nn.Module):
    """High-preserving block of ESRT, with 122,190 parameters at 32 channels.

    The high-frequency part, the difference to the average-pooled features, has its own branch.
    The low-frequency part is refined at half the resolution by one block applied repeatedly.

    Parameters
    ----------
    width : int
        Number of channels, even.
    repeats : int
        Applications of the low-frequency block.
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
        """Map features (B, C, H, W) to (B, C, H, W), with even H and W."""
        features = self.first(x)
        low = functional.avg_pool2d(features, 2)
        high = self.high(features - enlarge(low, 2))
        for _ in range(self.repeats):
            low = self.low(low)
        fused = self.attention(self.fuse(torch.cat([high, enlarge(low, 2)], 1)))
        return torch.add(self.last(fused), x)


class EfficientTransformer(nn.Module):
    """Efficient Transformer (ET) of ESRT, with 188,424 parameters at 32 channels.

    Tokens are the unfolded 3 x 3 neighbourhoods (9 C values each). Attention is computed on half
    of the values, and separately in ``splits`` parts of the sequence, which bounds its memory.

    Parameters
    ----------
    width : int
        Number of channels C.
    heads : int
        Attention heads.
    splits : int
        Largest number of parts of the sequence; it must divide the number of tokens, otherwise
        the greatest common divisor is used.
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
        """Apply multi-head attention within each part of the sequence."""
        batch, length, _ = tokens.shape
        splits = math.gcd(self.splits, length)
        qkv = self.qkv(self.reduce(tokens))
        qkv = qkv.reshape(batch * splits, length // splits, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v, scale=self.scale)
        combined: Tensor = self.project(mixed.transpose(1, 2).reshape(batch, length, -1))
        return combined

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, C, H, W)."""
        size = (int(x.shape[-2]), int(x.shape[-1]))
        tokens = functional.unfold(x, 3, padding=1).transpose(1, 2)
        tokens = tokens + self._attend(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return functional.fold(tokens.transpose(1, 2), size, 3, padding=1)


class PyramidAttention(nn.Module):
    """Pyramid attention unit (PAU): an ET at full, half and quarter resolution, combined.

    Parameters
    ----------
    width : int
        Number of channels.
    heads : int
        Attention heads.
    """

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
        """Map features (B, C, H, W) to (B, C, H, W), with H and W multiples of 4."""
        full = self.mix_full(x)
        half = self.mix_half(functional.avg_pool2d(x, 2))
        quarter = self.mix_quarter(functional.avg_pool2d(x, 4))
        low = half + self.scales(0, self.up_half(enlarge(quarter, 2)))
        top = full + self.scales(1, self.up_full(enlarge(low, 2)))
        fused = self.fuse(torch.cat([top, enlarge(low, 2), enlarge(quarter, 4)], 1))
        return torch.add(fused, x)


class MARS(nn.Module):
    """Multi-scale attention radio map super-resolution (MARS).

    Parameters
    ----------
    scale : {2, 4, 8}
        Enlargement along each axis. "4x" in the paper maps 64 x 64 to 256 x 256.
    width : int
        Number of channels, a multiple of 16; 32 in the paper.
    blocks : int
        Number of high-preserving blocks; 4 in the paper.
    repeats : int
        Refinements of the low-frequency part in each block; 5 in ESRT.
    heads : int
        Attention heads; 8 in ESRT.
    residual : bool
        Whether the network predicts a correction of the bilinear enlargement, not the map.
        False in the paper.
    masked : bool
        Whether the network has a second input channel, the mask of samples in buildings. False
        in the paper.
    walled : bool
        Whether the network has known buildings at the resolution of its output as an input, in
        ``scale`` x ``scale`` channels. Samples in buildings are then interpolated from the
        other samples. False in the paper.

    Raises
    ------
    ValueError
        If both ``masked`` and ``walled`` are set, or ``scale`` is not a power of two.

    Notes
    -----
    With the values of the paper it has 1,449,819 parameters at 4x and 1,523,803 at 8x. Input and
    output are on the unit scale, see :mod:`rm_geo.units`. Samples inside buildings are 0.

    Examples
    --------
    >>> MARS(4, width=16, blocks=1)(torch.rand(1, 1, 8, 12)).shape
    torch.Size([1, 1, 32, 48])
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
        if residual:  # an untrained network gives the bilinear enlargement
            for last in (self.tail[-1], self.branch[-1]):
                for parameter in last.parameters():
                    nn.init.zeros_(parameter)

    def forward(self, x: Tensor, buildings: Tensor | None = None) -> Tensor:
        """Enlarge a coarse radio map.

        Parameters
        ----------
        x : Tensor, shape (B, 1, h, w)
            Coarse map on the unit scale, with h and w multiples of 4.
        buildings : Tensor, shape (B, 1, scale h, scale w), optional
            1 in buildings, else 0. Required by a network with ``walled``, not accepted by others.

        Returns
        -------
        Tensor, shape (B, 1, scale h, scale w)

        Raises
        ------
        ValueError
            If ``buildings`` are missing or not accepted.
        """
        if (buildings is not None) is not self.walled:
            raise ValueError("buildings are required if walled is set, and not accepted otherwise")
        if buildings is not None:
            known = (x > 0.0).to(x.dtype)
            x = pull_push(x, known)
            outlines = functional.pixel_unshuffle(buildings.to(x.dtype), self.scale)
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
