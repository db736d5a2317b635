"""Dominant path model: path gain of every pixel by its path of least loss."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rm_geo.errors import ConfigError
from rm_geo.propagation.antenna import Antenna, SectorPattern
from rm_geo.propagation.compiled import import_compiled
from rm_geo.propagation.scene import Scene


@dataclass(frozen=True, slots=True)
class DominantPathParameters:
    """Constants of the dominant path model.

    The defaults are calibrated on the dominant path maps of RadioMapSeer (arXiv 2212.11777).
    The form is that of Wahl, Wölfle, Wertz, Wildbolz and Landstorfer, "Dominant path prediction
    model for urban scenarios" (IST Mobile Summit 2005), eq. 1.

    Parameters
    ----------
    los_exponent_db : float
        Loss in dB per decade of distance with line of sight, above 0; 20 is free space.
    nlos_exponent_db : float
        Loss in dB per decade of total path length without line of sight, above 0.
    first_interaction_db : float
        Loss in dB of the first interaction of a path, without its turning loss.
    next_interaction_db : float
        Loss in dB of each further interaction.
    turn_db_per_degree : float
        Loss in dB per degree of turning angle.
    turn_cap_deg : float
        Turning angle from which on the turning loss is constant.
    roof_interaction_db : float
        Loss in dB of each further interaction at a roof edge.
    roof_graze_db : float
        Loss in dB of a roof edge that a path touches without a turn. A path has two such edges
        for each further row of buildings that it crosses.
    max_interactions : int
        Largest number of interactions of a path, at least 1.
    receiver_height_m : float
        Height of the receivers above ground, 0.1 to 10 m.
    gain_floor_db : float
        Path gain in dB inside buildings, and lower bound elsewhere.
    near_distance_m : float
        Smaller distances are raised to this one, since the model holds in the far field. Above
        0 m.

    Raises
    ------
    ConfigError
        If a constant is out of range.
    """

    los_exponent_db: float = 20.0
    nlos_exponent_db: float = 22.28
    first_interaction_db: float = 2.0
    next_interaction_db: float = 1.75
    turn_db_per_degree: float = 0.1237
    turn_cap_deg: float = 69.1
    roof_interaction_db: float = 2.25
    roof_graze_db: float = 0.25
    max_interactions: int = 12
    receiver_height_m: float = 1.5
    gain_floor_db: float = -200.0
    near_distance_m: float = 1.0

    def __post_init__(self) -> None:
        if self.los_exponent_db <= 0 or self.nlos_exponent_db <= 0:
            raise ConfigError("The distance exponents of the dominant path model must be above 0.")
        if self.max_interactions < 1:
            raise ConfigError(f"max_interactions must be at least 1, not {self.max_interactions}.")
        if not 0.1 <= self.receiver_height_m <= 10.0:
            raise ConfigError(
                f"receiver_height_m must lie between 0.1 and 10, not {self.receiver_height_m}."
            )
        if self.near_distance_m <= 0:
            raise ConfigError(f"near_distance_m must be above 0, not {self.near_distance_m}.")


class DominantPathModel:
    """Path gain by the dominant path model, in 2.5 dimensions.

    Each pixel gets the path of least loss among line of sight, the taut string over the roofs
    in the vertical plane, paths over the roof of one building beside that plane, and paths
    around building corners. The antenna pattern applies to the departure direction of each path.

    Parameters
    ----------
    parameters : DominantPathParameters, optional
        Constants. Default: those calibrated on RadioMapSeer.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((40, 60))
    >>> mask[10:20, 15:30] = 1
    >>> scene = Scene.from_mask(mask, heights_m=12.0)
    >>> gain = DominantPathModel().path_gain(scene, Antenna.at_pixel(30, 5))
    >>> gain.shape, round(float(gain[30, 15]), 1), float(gain[15, 20])
    ((40, 60), -67.9, -200.0)
    """

    def __init__(self, parameters: DominantPathParameters | None = None) -> None:
        self.parameters = parameters if parameters is not None else DominantPathParameters()

    def path_gain(self, scene: Scene, antenna: Antenna) -> NDArray[np.float32]:
        """Compute the path gain of one antenna, including its pattern.

        Parameters
        ----------
        scene : Scene
            Buildings and their visibility.
        antenna : Antenna
            Transmitter. If it lies inside a footprint and not above the roof, it is moved to
            the nearest outdoor pixel.

        Returns
        -------
        (H, W) ndarray of float32
            Path gain in dB; ``parameters.gain_floor_db`` inside buildings and at least that
            elsewhere.

        Raises
        ------
        DependencyError
            If numba is not installed.
        """
        profile = import_compiled("profile")
        paths = import_compiled("paths")
        roof_paths = import_compiled("roof_paths")
        p = self.parameters
        law = np.array(
            [
                p.los_exponent_db,
                p.nlos_exponent_db,
                p.first_interaction_db,
                p.next_interaction_db,
                math.degrees(p.turn_db_per_degree),
                math.radians(p.turn_cap_deg),
                p.receiver_height_m,
                p.near_distance_m,
                p.roof_interaction_db,
            ]
        )
        pattern = _pattern_row(antenna.pattern)
        x, y = outdoor_position(scene, antenna)
        z = antenna.height_m
        offsets, edges = profile.roof_profiles(x, y, scene.walls, scene.ray_count)
        before, strings = profile.taut_strings(
            offsets, edges, z, law[5], law[4], law[8], p.roof_graze_db
        )
        gain = np.full(scene.shape, -np.inf, dtype=np.float32)
        length = np.full(scene.shape, paths.UNREACHED_M, dtype=np.float32)
        paths.vertical_plane_paths(
            x,
            y,
            z,
            scene.solid,
            scene.spacing_m,
            offsets,
            edges,
            before,
            strings,
            law,
            pattern,
            gain,
            length,
        )
        ways = roof_paths.paths_to_nodes(x, y, z, scene.nodes, offsets, edges, before, law, pattern)
        roof_paths.paths_from_nodes(
            ways, scene.nodes, scene.node_offsets, scene.node_runs, scene.spacing_m, law, length
        )
        starts = paths.start_at_corners(
            x, y, z, scene.corners, offsets, edges, before, law, pattern
        )
        shaded = length[~scene.solid]
        paths.corner_paths(
            starts,
            z - p.receiver_height_m,
            scene.corners,
            scene.link_offsets,
            scene.targets,
            scene.steps,
            scene.run_offsets,
            scene.runs,
            scene.spacing_m,
            law,
            p.max_interactions,
            float(shaded.max(initial=0.0)),
            length,
        )
        shadow = (length > 0) & ~scene.solid
        gain[shadow] = -p.nlos_exponent_db * np.log10(length[shadow])
        gain += np.float32(antenna.reference_gain_db)
        _fill_outline_gaps(gain, scene)
        np.maximum(gain, np.float32(p.gain_floor_db), out=gain)
        gain[scene.indoor] = p.gain_floor_db
        return gain

    def path_gains(self, scene: Scene, antennas: Iterable[Antenna]) -> NDArray[np.float32]:
        """Compute the path gains of several antennas in one scene.

        Parameters
        ----------
        scene : Scene
            Buildings and their visibility.
        antennas : iterable of Antenna
            N transmitters; see :meth:`path_gain`.

        Returns
        -------
        (N, H, W) ndarray of float32
            Path gains in dB.

        Raises
        ------
        DependencyError
            If numba is not installed.
        """
        maps = [self.path_gain(scene, antenna) for antenna in antennas]
        return np.stack(maps) if maps else np.empty((0, *scene.shape), dtype=np.float32)


def outdoor_position(scene: Scene, antenna: Antenna) -> tuple[float, float]:
    """Give the position of an antenna, moved outdoors if it is inside a building.

    Parameters
    ----------
    scene : Scene
        Buildings.
    antenna : Antenna
        The antenna.

    Returns
    -------
    (float, float)
        Position (x, y) in metres.
    """
    row = math.floor(antenna.y_m / scene.spacing_m)
    col = math.floor(antenna.x_m / scene.spacing_m)
    height, width = scene.shape
    if not (0 <= row < height and 0 <= col < width) or not scene.solid[row, col]:
        return antenna.x_m, antenna.y_m
    if antenna.height_m > scene.roof_m[row, col] > 0:
        return antenna.x_m, antenna.y_m
    rows, cols = np.nonzero(~scene.solid)
    if rows.size == 0:
        return antenna.x_m, antenna.y_m
    ys, xs = (rows + 0.5) * scene.spacing_m, (cols + 0.5) * scene.spacing_m
    nearest = int(np.argmin((ys - antenna.y_m) ** 2 + (xs - antenna.x_m) ** 2))
    return float(xs[nearest]), float(ys[nearest])


def _pattern_row(pattern: SectorPattern | None) -> NDArray[np.float64]:
    """Convert a pattern to an array for the compiled code; empty for an isotropic antenna."""
    if pattern is None:
        return np.empty(0)
    return np.array(
        [
            pattern.azimuth_deg,
            pattern.downtilt_deg,
            pattern.horizontal_beamwidth_deg,
            pattern.vertical_beamwidth_deg,
            pattern.front_to_back_db,
            pattern.max_gain_dbi,
        ]
    )


def _fill_outline_gaps(gain: NDArray[np.float32], scene: Scene) -> None:
    """Copy the largest gain of the neighbours into outdoor pixels inside straightened outlines.

    ``gain`` is -inf inside the outlines. Pixels without a neighbour outside remain -inf.
    """
    rows, cols = np.nonzero(scene.solid & ~scene.indoor)
    if rows.size == 0:
        return
    padded = np.pad(np.where(scene.solid, -np.inf, gain), 1, constant_values=-np.inf)
    best = np.full(rows.size, -np.inf, dtype=np.float32)
    for down in (0, 1, 2):
        for right in (0, 1, 2):
            np.maximum(best, padded[rows + down, cols + right], out=best)
    gain[rows, cols] = best
