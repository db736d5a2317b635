"""Specification of a method, small enough to send to workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rm_geo._version import __version__
from rm_geo.inference.methods import OpenMethod, open_method
from rm_geo.options import PredictOptions


@dataclass(frozen=True)
class MethodRecipe:
    """Arguments to open a method in this process or in a worker.

    Attributes
    ----------
    method, model, device, batch_size, tile_size_px, options, known_buildings
        As for :func:`rm_geo.inference.methods.open_method`.
    version : str
        Version of rm_geo that created it; workers must have the same.
    """

    method: str
    model: str | None
    device: str
    batch_size: int | None
    tile_size_px: int
    options: Mapping[str, object] = field(default_factory=dict)
    known_buildings: bool = False
    version: str = __version__

    @classmethod
    def of(cls, options: PredictOptions) -> MethodRecipe:
        """Create the specification from the options of a run.

        Parameters
        ----------
        options : PredictOptions
            Options of the run.

        Returns
        -------
        MethodRecipe
            With the absolute path of a model file.
        """
        model = options.method.model
        if model is not None:
            path = Path(model)
            if path.exists() and (path.suffix or len(path.parts) > 1):  # a file, not a name
                model = path.absolute()  # workers may have another working directory
        return cls(
            options.method.name,
            None if model is None else str(model),
            options.method.device,
            options.method.batch_size,
            options.grid.tile_size_px,
            options.method.method_options,
            known_buildings=options.site.buildings is not None,
        )

    def opened(self) -> OpenMethod:
        """Open the method in this process.

        Returns
        -------
        OpenMethod
            Method with model, device and batch size.

        Raises
        ------
        UsageError, ModelError, DeviceError, DependencyError
            As :func:`rm_geo.inference.methods.open_method`.
        """
        return open_method(
            self.method,
            model=self.model,
            device=self.device,
            batch_size=self.batch_size,
            tile_size_px=self.tile_size_px,
            options=self.options,
            known_buildings=self.known_buildings,
        )
