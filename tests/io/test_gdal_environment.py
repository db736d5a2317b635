"""Options of GDAL end with the block that sets them."""

import rasterio
from rasterio._env import get_gdal_config

from rm_geo.io.gdal_environment import gdal_environment, raster_options

OPTION = "CPL_VSIL_CURL_ALLOWED_EXTENSIONS"


def test_options_of_a_program_do_not_outlive_it() -> None:
    with gdal_environment():
        assert get_gdal_config(OPTION) == "{none}"
        with rasterio.Env(**raster_options()):
            assert get_gdal_config(OPTION) == "{none}"
    assert get_gdal_config(OPTION) is None


def test_options_of_a_library_call_do_not_outlive_it() -> None:
    with rasterio.Env(**raster_options()):
        assert get_gdal_config(OPTION) == "{none}"
    assert get_gdal_config(OPTION) is None


def test_nothing_is_set_where_files_may_name_addresses() -> None:
    with gdal_environment(allow_remote=True), rasterio.Env(**raster_options()):
        assert get_gdal_config(OPTION) is None
