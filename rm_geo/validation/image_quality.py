"""PSNR and SSIM of radio maps, as MARS reports them: means over maps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rm_geo.errors import DependencyError


@dataclass(frozen=True)
class ImageQuality:
    """PSNR and SSIM, summed over maps; add them, then read the means.

    Attributes
    ----------
    maps : int
        Maps summed.
    psnr_sum_db, ssim_sum : float
        Sums of the maps' scores.
    """

    maps: int = 0
    psnr_sum_db: float = 0.0
    ssim_sum: float = 0.0

    @classmethod
    def of(
        cls,
        estimate: ArrayLike,
        truth: ArrayLike,
        pixels: ArrayLike | None = None,
        *,
        data_range: float = 1.0,
    ) -> ImageQuality:
        """Judge one map with torchmetrics.

        Parameters
        ----------
        estimate, truth : array_like of float, shape (H, W)
            Finite everywhere, usually on the 0..1 scale; at least 11 x 11, SSIM's window.
        pixels : array_like of bool, shape (H, W), optional
            Pixels whose squared error and local SSIM are averaged; the windows of SSIM see
            all pixels around them. All by default.
        data_range : float
            Width of the scale.

        Returns
        -------
        ImageQuality
            Of this one map. A perfect map has an infinite PSNR.

        Raises
        ------
        DependencyError
            If torchmetrics is not installed.
        """
        try:
            from torchmetrics.functional.image import (
                peak_signal_noise_ratio,
                structural_similarity_index_measure,
            )
        except ImportError as error:
            raise DependencyError(
                "PSNR and SSIM need torchmetrics, which is not installed.",
                hint="Install it with: pip install torchmetrics",
            ) from error
        import torch

        y_hat, y = (
            torch.from_numpy(np.array(image, dtype=np.float32)) for image in (estimate, truth)
        )
        judged = (
            torch.ones_like(y, dtype=torch.bool)
            if pixels is None
            else torch.from_numpy(np.array(pixels, dtype=np.bool_))
        )
        if not bool(judged.any()):
            return cls()
        _, local = structural_similarity_index_measure(
            y_hat[None, None], y[None, None], data_range=data_range, return_full_image=True
        )
        psnr = peak_signal_noise_ratio(y_hat[judged], y[judged], data_range=data_range)
        return cls(1, float(psnr), float(local[0, 0][judged].mean()))

    def __add__(self, other: ImageQuality) -> ImageQuality:
        return ImageQuality(
            self.maps + other.maps,
            self.psnr_sum_db + other.psnr_sum_db,
            self.ssim_sum + other.ssim_sum,
        )

    @property
    def psnr_db(self) -> float:
        """Mean of the maps' PSNR; NaN without maps."""
        return self.psnr_sum_db / self.maps if self.maps else math.nan

    @property
    def ssim(self) -> float:
        """Mean of the maps' SSIM; NaN without maps."""
        return self.ssim_sum / self.maps if self.maps else math.nan
