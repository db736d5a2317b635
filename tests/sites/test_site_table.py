"""Site tables are read by the usual names of their columns; wrong values are pointed at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyproj import Transformer

from rm_geo.errors import CrsError, InputError
from rm_geo.progress import SilentProgress
from rm_geo.sites.table import read_sites

UTM = 32633


def table(folder: Path, text: str, name: str = "sites.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_full_table(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "pci,longitude,latitude,height_m,eirp_dbm,azimuth,downtilt,beamwidth,earfcn\n"
        "40,13.40,52.52,32,15.5,370,6,60,1300\n"
        "7,13.41,52.53,,,,,,632628\n",
    )
    with pytest.raises(InputError, match=r"azimuth 370 of cell '40' \(row 1\)"):
        read_sites(path, target_crs=UTM)
    path.write_text(path.read_text().replace("370", "-10"))
    first, second = read_sites(path, target_crs=UTM)
    x, y = Transformer.from_crs(4326, UTM, always_xy=True).transform(13.40, 52.52)
    assert (first.x, first.y) == pytest.approx((x, y), abs=1e-3)
    assert (first.cell, first.height_m, first.eirp_dbm) == ("40", 32.0, 15.5)
    assert (first.azimuth_deg, first.downtilt_deg, first.beamwidth_deg) == (350.0, 6.0, 60.0)
    assert first.frequency_mhz == 1815.0
    assert first.uncertainty_m == 0.0
    assert (second.cell, second.eirp_dbm, second.azimuth_deg) == ("7", None, None)
    assert second.height_m == 25.0
    assert second.frequency_mhz == pytest.approx(3489.42)


def test_the_load_is_a_share(tmp_path: Path) -> None:
    path = table(tmp_path, "pci,lon,lat,PRB utilisation\n40,13.4,52.5,0.35\n7,13.4,52.5,\n")
    first, second = read_sites(path, target_crs=UTM)
    assert (first.load, second.load) == (0.35, None)
    path.write_text(path.read_text().replace("0.35", "35"))
    with pytest.raises(InputError, match=r"load 35 of cell '40' \(row 1\) .* outside 0\.\.1"):
        read_sites(path, target_crs=UTM)


def test_what_a_table_does_not_say_is_not_made_up(tmp_path: Path) -> None:
    (site,) = read_sites(table(tmp_path, "pci,lon,lat\n40,13.4,52.5\n"), target_crs=UTM)
    assert (site.frequency_mhz, site.eirp_dbm, site.azimuth_deg) == (None, None, None)


@pytest.mark.parametrize(
    "header",
    [
        "cell,lon,lat,height",
        "PCI,Longitude,Latitude,Antenna Height (m)",
        "ECI,site_lon,site_lat,hgt",
        "Cell ID;lng;lat;antenna_height_m",
        "cellname\tsite_longitude\tsite_latitude\tHeight [m]",
    ],
)
def test_other_names(tmp_path: Path, header: str) -> None:
    separator = next(s for s in ";\t," if s in header)
    row = separator.join(["12", "13.4", "52.5", "40"])
    (site,) = read_sites(table(tmp_path, f"{header}\n{row}\n"), target_crs=UTM)
    assert (site.cell, site.height_m) == ("12", 40.0)


def test_projected_columns_need_a_crs(tmp_path: Path) -> None:
    path = table(tmp_path, "cell,x,y\na,400000,5800000\n")
    with pytest.raises(CrsError, match="no CRS") as caught:
        read_sites(path, target_crs=UTM)
    assert "`sites_crs`" in str(caught.value.hint)
    for how in ({"crs": UTM}, {"usual_crs": UTM}, {"crs": UTM, "usual_crs": 4326}):
        (site,) = read_sites(path, target_crs=UTM, **how)
        assert (site.x, site.y) == (400_000.0, 5_800_000.0)
    with pytest.raises(CrsError, match="not degrees"):
        read_sites(path, target_crs=UTM, usual_crs=4326)


def test_a_crs_that_the_table_states_is_kept(tmp_path: Path) -> None:
    class Log(SilentProgress):
        def log(self, message: str) -> None:
            said.append(message)

    said: list[str] = []
    path = table(tmp_path, "cell,lon,lat\na,13.4,52.5\n")
    plain = read_sites(path, target_crs=UTM)
    assert read_sites(path, target_crs=UTM, usual_crs=UTM, progress=Log()) == plain
    assert said == []
    assert read_sites(path, target_crs=UTM, crs=UTM, progress=Log()) == plain
    assert "`sites_crs`" in said[0]


def test_points_with_a_geometry(tmp_path: Path) -> None:
    pyogrio_raw = pytest.importorskip("pyogrio.raw")
    shapely = pytest.importorskip("shapely")
    path = tmp_path / "sites.gpkg"
    pyogrio_raw.write(
        path,
        geometry=shapely.to_wkb(shapely.points([400_000.0], [5_800_000.0])),
        field_data=[np.array([40.0])],
        fields=["pci"],
        crs="EPSG:32633",
        geometry_type="Point",
    )
    (site,) = read_sites(path, target_crs=UTM)
    assert (site.x, site.y, site.cell) == (400_000.0, 5_800_000.0, "40")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cell,height\na,20\n", "no longitude and latitude"),
        ("cell,lon,lat\na,13.4,52.5\nb,,\n", r"1 of the 2 sites in .*no position \(row 2\)"),
        ("cell,lon,lat,height\na,13.4,52.5,-3\n", "height -3 of cell 'a'"),
        ("cell,lon,lat,height\na,13.4,52.5,tall\n", "holds text: 'tall'"),
        ("cell,lon,lat,eirp_dbm\na,13.4,52.5,250\n", "EIRP 250 of cell 'a'"),
        ("cell,lon,lat,earfcn\na,13.4,52.5,75000\n", "75000 of cell 'a'.*no band"),
        ("cell,lon,lat\n", "no rows"),
    ],
)
def test_a_wrong_table_is_pointed_at(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_sites(table(tmp_path, text), target_crs=UTM)
    assert "sites.csv" in str(caught.value)
