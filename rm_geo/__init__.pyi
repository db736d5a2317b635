from . import errors as errors
from .buildings.reader import Buildings as Buildings
from .buildings.reader import read_buildings as read_buildings
from .errors import RmGeoError as RmGeoError
from .estimators.base import Estimate as Estimate
from .estimators.base import Estimator as Estimator
from .estimators.base import PointEstimator as PointEstimator
from .estimators.base import TileBatch as TileBatch
from .estimators.registry import get_method as get_method
from .estimators.registry import list_methods as list_methods
from .geostat.coregionalization import JointEstimate as JointEstimate
from .geostat.coregionalization import estimate_jointly as estimate_jointly
from .grid import Grid as Grid
from .grid import Tile as Tile
from .io.cog import read_raster as read_raster
from .io.cog import write_raster as write_raster
from .measurements.joining import join_measurements as join_measurements
from .measurements.model import Measurements as Measurements
from .measurements.reader import read_measurements as read_measurements
from .options import PredictOptions as PredictOptions
from .pipeline.dry_run import dry_run as dry_run
from .pipeline.predict import predict as predict
from .planning.comparison import ComparisonOptions as ComparisonOptions
from .planning.export import export_map as export_map
from .planning.map_set import CellMap as CellMap
from .planning.map_set import RadioMapSet as RadioMapSet
from .planning.map_set import open_radio_map_set as open_radio_map_set
from .planning.product import PlanInputs as PlanInputs
from .planning.settings import PlanSettings as PlanSettings
from .products.radio_map import RadioMap as RadioMap
from .products.radio_map import open_radio_map as open_radio_map
from .products.summary import CellResult as CellResult
from .progress import Progress as Progress
from .raster.binning import bin_measurements as bin_measurements
from .raster.log_bins import LogBins as LogBins
from .raster.sparse import SparseRaster as SparseRaster
from .report.page import write_report as write_report
from .sites.site import Site as Site
from .sites.table import read_sites as read_sites
from .validation.log_holdout import LogScore as LogScore
from .validation.log_holdout import LogValidation as LogValidation
from .validation.log_holdout import validate as validate
from .workflows.compare import ComparisonResult as ComparisonResult
from .workflows.compare import compare as compare
from .workflows.interpolate import interpolate as interpolate
from .workflows.plan import PlanData as PlanData
from .workflows.plan import PlanResult as PlanResult
from .workflows.plan import derive_products as derive_products
from .workflows.plan import make_plan as make_plan
from .workflows.simulate import simulate as simulate
from .workflows.superresolve import superresolve as superresolve
from .zoo.catalog import find_model as find_model
from .zoo.catalog import list_models as list_models
from .zoo.weights import load_network as load_network

__version__: str

__all__ = [
    "Buildings",
    "CellMap",
    "CellResult",
    "ComparisonOptions",
    "ComparisonResult",
    "Estimate",
    "Estimator",
    "Grid",
    "JointEstimate",
    "LogBins",
    "LogScore",
    "LogValidation",
    "Measurements",
    "PlanData",
    "PlanInputs",
    "PlanResult",
    "PlanSettings",
    "PointEstimator",
    "PredictOptions",
    "Progress",
    "RadioMap",
    "RadioMapSet",
    "RmGeoError",
    "Site",
    "SparseRaster",
    "Tile",
    "TileBatch",
    "__version__",
    "bin_measurements",
    "compare",
    "derive_products",
    "dry_run",
    "errors",
    "estimate_jointly",
    "export_map",
    "find_model",
    "get_method",
    "interpolate",
    "join_measurements",
    "list_methods",
    "list_models",
    "load_network",
    "make_plan",
    "open_radio_map",
    "open_radio_map_set",
    "predict",
    "read_buildings",
    "read_measurements",
    "read_raster",
    "read_sites",
    "simulate",
    "superresolve",
    "validate",
    "write_raster",
    "write_report",
]
