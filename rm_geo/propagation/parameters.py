"""Constants of the dominant path model, as calibrated on measured gain maps."""

from __future__ import annotations

from dataclasses import dataclass

from rm_geo.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DominantPathParameters:
    """Constants of the dominant path model.

    The defaults reproduce the dominant path maps of RadioMapSeer (arXiv 2212.11777); the
    form of the law is that of Wahl, Wölfle, Wertz, Wildbolz and Landstorfer, "Dominant path
    prediction model for urban scenarios" (IST Mobile Summit 2005), eq. 1.

    Parameters
    ----------
    los_exponent_db : float
        dB per decade of distance in line of sight; 20 is free space.
    nlos_exponent_db : float
        dB per decade of the whole path length, out of line of sight.
    first_interaction_db : float
        Loss of a path's first interaction, apart from its turning angle.
    next_interaction_db : float
        The same for each further interaction.
    turn_db_per_degree : float
        Loss for each degree that a path turns.
    turn_cap_deg : float
        A turn of more than this costs as much as this one.
    roof_interaction_db : float
        The same as ``next_interaction_db``, for the edges of roofs.
    roof_graze_db : float
        Loss of a roof edge that a path touches without turning: two for each further row of
        buildings that it crosses.
    max_interactions : int
        Longest chain of corners that is followed, 1 or more.
    receiver_height_m : float
        Height of the receivers above ground, 0.1 to 10 m.
    gain_floor_db : float
        Path gain written inside buildings, and the least written elsewhere.
    near_distance_m : float
        Distances below this count as this: the law is one of the far field.
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
            raise ConfigError("max_interactions must be 1 or more.")
        if not 0.1 <= self.receiver_height_m <= 10.0:
            raise ConfigError("receiver_height_m must lie between 0.1 and 10.")
        if self.near_distance_m <= 0:
            raise ConfigError("near_distance_m must be above 0.")
