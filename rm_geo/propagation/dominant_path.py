"""The dominant path model: path gain of every pixel from its path of least loss."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rm_geo.propagation.antenna import Antenna, SectorPattern
from rm_geo.propagation.compiled import compiled
from rm_geo.propagation.parameters import DominantPathParameters
from rm_geo.propagation.scene import Scene


class DominantPathModel:
    """Path gain by the dominant path model, in 2.5-D.

    Each pixel takes the path of least loss among line of sight, the string pulled tight over
    the roofs in the vertical plane, ways across the roof of one building off that plane, and
    paths around building corners. A pattern counts in the direction in which each path leaves.

    Parameters
    ----------
    parameters : DominantPathParameters, optional
        Constants; the default is calibrated on RadioMapSeer.
    """

    def __init__(self, parameters: DominantPathParameters | None = None) -> None:
        self.parameters = parameters if parameters is not None else DominantPathParameters()

    def path_gain(self, scene: Scene, antenna: Antenna) -> NDArray[np.float32]:
        """Compute the path gain of one antenna, its pattern included.

        Parameters
        ----------
        scene : Scene
            Buildings.
        antenna : Antenna
            Inside a footprint and not above its roof, it is moved to the nearest outdoor
            pixel.

        Returns
        -------
        (H, W) ndarray of float32
            dB; ``parameters.gain_floor_db`` inside buildings and at least that elsewhere.

        Raises
        ------
        DependencyError
            If numba is not installed.
        """
        profile = compiled("profile")
        paths = compiled("paths")
        roofs = compiled("roofs")
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
        x, y = outdoors(scene, antenna)
        z = antenna.height_m
        offsets, edges = profile.cross_roofs(x, y, scene.walls, scene.ray_count)
        before, strings = profile.pull_strings(
            offsets, edges, z, law[5], law[4], law[8], p.roof_graze_db
        )
        gain = np.full(scene.shape, -np.inf, dtype=np.float32)
        length = np.full(scene.shape, paths.UNREACHED_M, dtype=np.float32)
        paths.light_plane(
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
        ways = roofs.climb_roofs(x, y, z, scene.nodes, offsets, edges, before, law, pattern)
        roofs.descend(
            ways, scene.nodes, scene.node_offsets, scene.node_runs, scene.spacing_m, law, length
        )
        starts = paths.reach_corners(x, y, z, scene.corners, offsets, edges, before, law, pattern)
        shaded = length[~scene.solid]
        paths.wrap_corners(
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
        _fill_slivers(gain, scene)
        np.maximum(gain, np.float32(p.gain_floor_db), out=gain)
        gain[scene.indoor] = p.gain_floor_db
        return gain

    def path_gains(self, scene: Scene, antennas: Iterable[Antenna]) -> NDArray[np.float32]:
        """Compute the path gains of several antennas: (N, H, W) float32, see path_gain."""
        maps = [self.path_gain(scene, antenna) for antenna in antennas]
        return np.stack(maps) if maps else np.empty((0, *scene.shape), dtype=np.float32)


def outdoors(scene: Scene, antenna: Antenna) -> tuple[float, float]:
    """Position of an antenna, moved outdoors if it would stand inside a building."""
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
    """Pattern as the compiled code takes it; empty for an isotropic antenna."""
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


def _fill_slivers(gain: NDArray[np.float32], scene: Scene) -> None:
    """Give outdoor pixels that the straightened outlines cover the gain of a neighbour.

    ``gain`` is -inf inside the outlines; pixels further in stay so.
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
