"""Results as layers: styled, grouped by cell, with their history."""

import math
import os
import shutil
import threading
import time
from pathlib import Path

from harness import DATA, FAST, HANG_S, Feedback, QgisTestCase, application, main, registry
from osgeo import gdal
from processing.gui.Postprocessing import handleAlgorithmResults
from qgis.core import (
    QgsColorRampShader,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsLayerTreeGroup,
    QgsLayerTreeRegistryBridge,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsPointXY,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterDefinition,
    QgsRasterLayer,
    QgsRectangle,
    QgsReferencedRectangle,
    QgsRenderContext,
    QgsVectorLayer,
    edit,
)
from qgis.PyQt.QtCore import QSize
from rm_geo_qgis.algorithms.parameters import DEVICES
from rm_geo_qgis.labels import LABELS
from rm_geo_qgis.layer_styles import (
    STYLES,
    apply_style,
    rsrp_scale,
    style_measurements,
    style_sites,
)
from rm_geo_qgis.layer_tree import RunGroup
from rm_geo_qgis.open_layers import OpenLayers
from rm_geo_qgis.results import ResultLayer, register_finisher

BREAKS = [-120.0, -110.0, -100.0, -90.0, -80.0, -70.0]


def shader_of(layer):
    return layer.renderer().shader().rasterShaderFunction()


class StyleTests(QgisTestCase):
    def raster(self):
        copy = self.folder / "map.tif"
        shutil.copy(DATA / "coarse.tif", copy)
        layer = QgsRasterLayer(str(copy), "map")
        self.assertTrue(layer.isValid())
        return layer

    def test_every_style_loads(self):
        files = sorted(STYLES.glob("*.qml"))
        self.assertGreaterEqual(len(files), 5)
        for file in files:
            if "<renderer-v2" in file.read_text("utf-8"):
                continue  # of a vector layer: check_planning.py
            layer = self.raster()
            _, loaded = layer.loadNamedStyle(str(file))
            self.assertTrue(loaded, file.name)
            self.assertEqual(layer.renderer().type(), "singlebandpseudocolor", file.name)

    def test_rsrp_has_the_planners_breaks_continuous_and_in_classes(self):
        layer = self.raster()
        apply_style(layer, "rsrp")
        continuous = shader_of(layer)
        self.assertEqual(continuous.colorRampType(), QgsColorRampShader.Type.Interpolated)
        self.assertEqual([i.value for i in continuous.colorRampItemList()], BREAKS)
        self.assertEqual(sorted(layer.styleManager().styles()), ["classes", "continuous"])
        layer.styleManager().setCurrentStyle("classes")
        classed = shader_of(layer)
        self.assertEqual(classed.colorRampType(), QgsColorRampShader.Type.Discrete)
        self.assertEqual([i.value for i in classed.colorRampItemList()], [*BREAKS, math.inf])

    def test_buildings_are_transparent_where_there_are_none(self):
        layer = self.raster()
        apply_style(layer, "buildings")
        items = shader_of(layer).colorRampItemList()
        self.assertEqual(items[0].color.alpha(), 0)
        self.assertGreater(items[-1].color.alpha(), 200)

    def test_points_and_maps_have_one_scale(self):
        layer = self.layer("drive.gpkg")
        style_measurements(layer, "rsrp")
        ranges = layer.renderer().ranges()
        raster = self.raster()
        apply_style(raster, "rsrp")
        raster.styleManager().setCurrentStyle("classes")
        items = shader_of(raster).colorRampItemList()
        self.assertEqual([i.label for i in items], [r.label() for r in ranges])
        self.assertEqual(
            [i.color.name() for i in items], [r.symbol().color().name() for r in ranges]
        )
        self.assertEqual([r.upperValue() for r in ranges[:-1]], [i.value for i in items[:-1]])
        self.assertTrue(all("dBm" in r.label() for r in ranges))
        context = QgsRenderContext()
        context.expressionContext().setFields(layer.fields())
        layer.renderer().startRender(context, layer.fields())
        for feature in layer.getFeatures():
            context.expressionContext().setFeature(feature)
            self.assertIsNotNone(layer.renderer().symbolForFeature(feature, context))
        layer.renderer().stopRender(context)
        self.assertTrue(layer.labelsEnabled())
        self.assertIn("rsrp", layer.mapTipTemplate())

    def test_values_beyond_the_scale_have_the_colours_of_its_ends_and_the_legend_says_so(self):
        layer = self.raster()
        apply_style(layer, "rsrp")
        items = shader_of(layer).colorRampItemList()
        self.assertEqual(items[0].label, "-120 dBm and below")
        self.assertEqual(items[-1].label, "-70 dBm and above")
        for value, item in ((-139.0, items[0]), (-31.0, items[-1])):
            shown, red, green, blue, alpha = shader_of(layer).shade(value)
            self.assertTrue(shown)
            self.assertEqual((red, green, blue), item.color.getRgb()[:3])
            self.assertEqual(alpha, 255)
        self.assertEqual(len(rsrp_scale()), len(items) + 1)

    def test_sites_are_wedges_towards_their_azimuths(self):
        layer = QgsVectorLayer(
            "Point?crs=EPSG:32633&field=cell:string&field=azimuth:double", "sites", "memory"
        )
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(500_000, 5_400_000)))
        feature.setAttributes(["7", 90.0])
        layer.dataProvider().addFeatures([feature])
        layer.updateExtents()
        style_sites(layer, "azimuth", cell="cell")
        settings = QgsMapSettings()
        settings.setLayers([layer])
        settings.setDestinationCrs(layer.crs())
        settings.setExtent(QgsRectangle(499_950, 5_399_950, 500_050, 5_400_050))
        settings.setOutputSize(QSize(200, 200))
        layer.setLabelsEnabled(False)
        job = QgsMapRendererSequentialJob(settings)
        job.start()
        job.waitForFinished()
        image = job.renderedImage()
        blue = [
            (x - 100, y - 100)
            for x in range(200)
            for y in range(200)
            if image.pixelColor(x, y).blue() > image.pixelColor(x, y).red() + 20
        ]
        self.assertGreater(len(blue), 20)
        self.assertGreater(sum(x for x, _ in blue), 5 * abs(sum(y for _, y in blue)), "east")


class LoadingTestCase(QgisTestCase):
    def load(self, parameters, name="estimate"):
        """Run as the dialog does, and load the results as it does."""
        context, feedback = self.context(), Feedback()
        algorithm = registry.algorithmById(f"rm_geo:{name}").create()
        results, ok = algorithm.run(parameters, context, feedback)
        self.assertTrue(ok, feedback.lines)
        self.assertTrue(handleAlgorithmResults(algorithm, context, feedback, parameters=parameters))
        return results

    def tree(self, group=None):
        """The layer tree: layers by name, groups as pairs of name and content."""
        node = self.project.layerTreeRoot() if group is None else group
        return [
            (one.name(), self.tree(one)) if isinstance(one, QgsLayerTreeGroup) else one.name()
            for one in node.children()
            if isinstance(one, QgsLayerTreeGroup) or one.layer().name() != "drive test"
        ]

    def parameters(self, **more):
        return {
            "INPUT": self.layer("drive.gpkg"),
            "OUTPUT": str(self.folder / "maps"),
            **FAST,
            "WITH_UNCERTAINTY": False,
            **more,
        }

    def output(self, name):
        return QgsProcessingOutputLayerDefinition(str(self.folder / name), self.project)


class LoadingTests(LoadingTestCase):
    def test_a_run_is_a_group_with_the_strongest_level_on_top_and_the_cells_off(self):
        parameters = self.parameters(COMPOSITE=self.output("best.tif"), WITH_REPORTED=False)
        results = self.load(parameters)
        self.assertEqual(
            self.tree(),
            [
                (
                    "drive test: nearest",
                    [
                        "RSRP of the best server",
                        ("Cell 7", ["7 RSRP, nearest"]),
                        ("Cell 8", ["8 RSRP, nearest"]),
                    ],
                )
            ],
        )
        shown = {layer.name() for layer in self.project.layerTreeRoot().checkedLayers()}
        self.assertEqual(shown, {"RSRP of the best server", "drive test"})
        (layer,) = self.project.mapLayersByName("7 RSRP, nearest")
        self.assertEqual(layer.renderer().type(), "singlebandpseudocolor")
        self.assertEqual([i.value for i in shader_of(layer).colorRampItemList()], BREAKS)
        self.assertEqual(results["COMPOSITE"], str(self.folder / "best.tif"))
        best, both = QgsRasterLayer(results["COMPOSITE"], "best"), []
        for path in results["RADIO_MAPS"]:
            both.append(QgsRasterLayer(path, "cell"))
        point = both[0].extent().center()
        values = [one.dataProvider().sample(point, 1)[0] for one in both]
        value = best.dataProvider().sample(point, 1)[0]
        self.assertAlmostEqual(value, max(v for v in values if not math.isnan(v)), 4)

    def test_cells_are_sorted_as_numbers(self):
        run = RunGroup("key", "run", by_cell=True)
        context, kept = self.context(), []
        for cell in ("10", "9", "102", "2", "2_b"):
            path = self.folder / f"{cell}_rsrp.tif"
            shutil.copy(DATA / "coarse.tif", path)
            result = ResultLayer(str(path), "rsrp", cell, {}, run=run)
            kept.append(register_finisher(context, result, load=True))
        handleAlgorithmResults(
            registry.algorithmById("rm_geo:estimate"), context, Feedback(), parameters={}
        )
        ((_, cells),) = self.tree()
        self.assertEqual(
            [name for name, _ in cells], ["Cell 2", "Cell 2_b", "Cell 9", "Cell 10", "Cell 102"]
        )

    def test_a_layers_metadata_says_where_it_comes_from(self):
        self.load(self.parameters())
        (layer,) = self.project.mapLayersByName("8 RSRP, nearest")
        metadata = layer.metadata()
        self.assertEqual(metadata.title(), "8 RSRP, nearest")
        self.assertIn("nearest", metadata.abstract())
        self.assertIn("drive.gpkg", metadata.abstract())
        self.assertIn("cell: 8", metadata.history())
        self.assertTrue(any(line.startswith("input_sha256: ") for line in metadata.history()))

    def test_provenance_names_layer_filter_and_selection_of_exported_features(self):
        parameters = self.parameters(LOAD=False)
        layer = parameters["INPUT"]
        layer.setSubsetString("pci = '7'")
        layer.selectByExpression("fid < 30")
        parameters["INPUT"] = QgsProcessingFeatureSourceDefinition(layer.id(), True)
        results = self.load(parameters)
        (path,) = results["RADIO_MAPS"]
        tags = gdal.Info(path, format="json")["metadata"][""]
        self.assertEqual(tags["input"], "layer drive test of drive.gpkg")
        self.assertEqual(tags["input_filter"], "pci = '7'")
        self.assertEqual(
            tags["input_selection"], f"{layer.selectedFeatureCount()} selected features"
        )

    def test_other_runs_have_groups_of_their_own_side_by_side(self):
        self.load(self.parameters())
        root = self.project.layerTreeRoot()
        inside = QgsLayerTreeRegistryBridge.InsertionPoint(root.findGroups(True)[1], 0)
        bridge = self.project.layerTreeRegistryBridge()
        bridge.setLayerInsertionPoint(inside)
        at_top = QgsLayerTreeRegistryBridge.InsertionPoint(root, 0)
        self.addCleanup(bridge.setLayerInsertionPoint, at_top)
        self.load(self.parameters(OUTPUT=str(self.folder / "again")))
        names = [name for name, _ in (one for one in self.tree() if isinstance(one, tuple))]
        self.assertEqual(names, ["drive test: nearest (2)", "drive test: nearest"])

    def test_a_run_into_the_same_folder_shows_the_new_maps(self):
        self.load(self.parameters(CELLS="8"))
        (layer,) = self.project.mapLayersByName("8 RSRP, nearest")
        point = layer.extent().center()
        before = layer.dataProvider().sample(point, 1)[0]
        copy = self.folder / "louder.gpkg"
        shutil.copy(DATA / "drive.gpkg", copy)
        louder = QgsVectorLayer(str(copy), "louder", "ogr")
        field = louder.fields().indexOf("rsrp")
        with edit(louder):
            for feature in louder.getFeatures():
                louder.changeAttributeValue(feature.id(), field, feature["rsrp"] + 20.0)
        self.project.addMapLayer(louder)
        for load in (True, False):
            method = "nearest" if load else "idw"
            parameters = {**self.parameters(CELLS="8", LOAD=load), "INPUT": louder}
            self.load({**parameters, "METHOD": method})
            layers = [
                one for one in self.project.mapLayers().values() if isinstance(one, QgsRasterLayer)
            ]
            self.assertEqual(len(layers), 1)
            after = layers[0].dataProvider().sample(point, 1)[0]
            fresh = gdal.Open(str(self.folder / "maps" / "8_rsrp.tif")).ReadAsArray()
            self.assertGreater(after, before + 10.0)
            shown = layers[0].dataProvider().block(1, layers[0].extent(), *fresh.shape[::-1])
            row, column = (size // 2 for size in fresh.shape)
            self.assertAlmostEqual(shown.value(row, column), float(fresh[row, column]), 3)
        groups = [one for one in self.tree() if isinstance(one, tuple)]
        self.assertEqual(groups, [("louder: nearest", [("Cell 8", ["8 RSRP, nearest"])])])

    def test_files_are_closed_while_they_are_replaced_and_opened_again_after_a_failure(self):
        self.load(self.parameters(CELLS="8"))
        (layer,) = self.project.mapLayersByName("8 RSRP, nearest")
        path = str(self.folder / "maps" / "8_rsrp.tif")
        layer.dataProvider().sample(layer.extent().center(), 1)
        self.assertIn(path, open_files())
        shut = OpenLayers(self.project, [str(self.folder / "maps")], must_close_rasters=True)
        self.assertNotIn(path, open_files())
        shut.reopen()
        self.assertTrue(layer.isValid())
        self.assertEqual(layer.renderer().type(), "singlebandpseudocolor")
        self.assertTrue(math.isfinite(layer.dataProvider().sample(layer.extent().center(), 1)[0]))

    def test_a_single_output_is_loaded_once(self):
        target = str(self.folder / "only.tif")
        context, feedback = self.context(), Feedback()
        parameters = self.parameters(CELLS="8", RSRP=target)
        algorithm = registry.algorithmById("rm_geo:estimate").create()
        results, ok = algorithm.run(parameters, context, feedback)
        self.assertTrue(ok)
        self.assertEqual(results["RSRP"], target)
        self.assertEqual(list(context.layersToLoadOnCompletion()), [])
        self.assertTrue((self.folder / "maps" / "8_rsrp.tif").is_file())

    def test_layers_are_not_loaded_when_switched_off(self):
        self.load(self.parameters(LOAD=False))
        self.assertEqual(self.tree(), [])

    def test_a_batch_row_with_empty_outputs_makes_none_and_loads_only_if_asked(self):
        for project, loaded in ((None, []), (self.project, ["drive test: nearest"])):
            empty = QgsProcessingOutputLayerDefinition("", project)
            names = ("RSRP", "BUILDINGS", "UNCERTAINTY", "COMPOSITE")
            folder = str(self.folder / str(len(loaded)))
            results = self.load(
                self.parameters(CELLS="8", OUTPUT=folder, **dict.fromkeys(names, empty))
            )
            self.assertEqual(len(list(Path(folder).glob("*_uncertainty.tif"))), 0)
            self.assertNotIn("COMPOSITE", results)
            self.assertEqual([one[0] for one in self.tree()], loaded)

    def test_a_dry_run_says_what_would_be_done_and_writes_nothing(self):
        context, feedback = self.context(), Feedback()
        parameters = self.parameters(DRY_RUN=True, COMPOSITE=self.output("best.tif"))
        algorithm = registry.algorithmById("rm_geo:estimate").create()
        _, ok = algorithm.run(parameters, context, feedback)
        self.assertTrue(ok, feedback.lines)
        text = "\n".join(feedback.lines)
        self.assertIn("RSRP from 'rsrp', cell from 'pci'", text)
        self.assertIn("tiles on", text)
        self.assertEqual(len([line for line in feedback.lines if line[:2] in ("7 ", "8 ")]), 2)
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertEqual(list(context.layersToLoadOnCompletion()), [])

    def test_only_measurements_inside_the_extent_are_mapped(self):
        layer = self.layer("drive.gpkg")
        box = layer.extent()
        box.setXMaximum(box.center().x())
        inside = sum(1 for f in layer.getFeatures() if box.contains(f.geometry().asPoint()))
        self.assertLess(inside, layer.featureCount())
        metres = QgsCoordinateTransform(
            layer.crs(), QgsCoordinateReferenceSystem("EPSG:32633"), self.project
        )
        for value in (box, QgsReferencedRectangle(box, layer.crs())):
            results = self.load(
                {"INPUT": layer, "EXTENT": value, "OUTPUT": str(self.folder / "r.html")}, "inspect"
            )
            self.assertEqual(results["USED"], inside)
        wide = QgsReferencedRectangle(
            metres.transformBoundingBox(layer.extent()), metres.destinationCrs()
        )
        parameters = {"INPUT": layer, "EXTENT": wide, "OUTPUT": str(self.folder / "r.html")}
        self.assertEqual(self.load(parameters, "inspect")["USED"], layer.featureCount())

    def test_buildings_lie_on_the_map_and_uncertainty_below_and_hidden(self):
        context, run = self.context(), RunGroup("key", "run", by_cell=True)
        kept = []
        for kind in ("uncertainty", "rsrp", "buildings"):
            path = self.folder / f"5_{kind}.tif"
            shutil.copy(DATA / "coarse.tif", path)
            result = ResultLayer(str(path), kind, "5", {"method": "idw"}, run=run)
            kept.append(register_finisher(context, result, load=True))
        handleAlgorithmResults(
            registry.algorithmById("rm_geo:estimate"), context, Feedback(), parameters={}
        )
        names = ["5 buildings, idw", "5 RSRP, idw", "5 uncertainty, idw"]
        self.assertEqual(self.tree(), [("run", [("Cell 5", names)])])
        node = self.project.layerTreeRoot().findGroups(True)[1].children()[2]
        self.assertFalse(node.itemVisibilityChecked())

    def test_a_validation_is_a_table_and_held_out_points_with_errors(self):
        results = self.load(
            {
                "INPUT": self.layer("drive.gpkg"),
                "METHODS": ["nearest", "idw"],
                "FOLDS": 2,
                "BLOCK": 20.0,
                "OUTPUT": str(self.folder / "errors.csv"),
                "POINTS": self.output("points.gpkg"),
            },
            "validate",
        )
        (points,) = self.project.mapLayersByName("errors at held-out points")
        self.assertEqual(points.renderer().type(), "graduatedSymbol")
        self.assertEqual(points.renderer().classAttribute(), "error_db")
        self.assertTrue(points.labelsEnabled())
        self.assertGreater(points.featureCount(), 10)
        (table,) = self.project.mapLayersByName("table of errors")
        self.assertEqual(table.featureCount(), 6)
        self.assertTrue(results["BEST"])

    def test_simulated_maps_are_named_as_such_and_say_their_antennas(self):
        results = self.load(
            {
                "BUILDINGS": self.layer("buildings.gpkg", "town"),
                "POSITION": "500050,5400010 [EPSG:32633]",
                "AZIMUTH": 120.0,
                "DOWNTILT": 4.0,
                "EIRP": 15.0,
                "RESOLUTION": 4.0,
                "MAX_TILES": 100_000,
                "OUTPUT": str(self.folder / "maps"),
            },
            "simulate",
        )
        (run,) = (one for one in self.tree() if isinstance(one, tuple))
        self.assertEqual(run, ("town: simulated", [("Cell site", ["site RSRP, simulated"])]))
        tags = gdal.Info(results["RADIO_MAPS"][0], format="json")["metadata"][""]
        self.assertEqual((tags["azimuth_deg"], tags["downtilt_deg"]), ("120", "4"))
        self.assertEqual(float(tags["x"]), 500_050.0)


class EarlyLoadingTests(LoadingTestCase):
    """Runs in a thread, as of the dialog; layers come while other cells are mapped."""

    def run_in_thread(self, parameters, when_first=lambda feedback: None, *, in_main=True):
        """Run; after the first cell the run waits until ``when_first`` has looked at it."""
        context, feedback = self.context(), Held()
        algorithm = registry.algorithmById("rm_geo:estimate").create()
        feedback.is_time = lambda: bool(algorithm._finished_cells)
        if in_main:
            self.assertTrue(algorithm.prepare(parameters, context, feedback))
        results = {}

        def work():
            try:
                if not in_main:  # a step of a model
                    algorithm.prepare(parameters, context, feedback)
                results.update(algorithm.runPrepared(parameters, context, feedback))
            finally:
                feedback.is_held.set()

        thread = threading.Thread(target=work)
        thread.start()
        self.pump(feedback.is_held.is_set)
        when_first(feedback)
        feedback.is_released.set()
        self.pump(lambda: not thread.is_alive())
        algorithm.postProcess(context, feedback)
        handleAlgorithmResults(algorithm, context, feedback, parameters=parameters)
        return results, feedback

    def pump(self, is_done):
        """Process events until a condition holds."""
        deadline = time.monotonic() + HANG_S
        while not is_done():
            self.assertLess(time.monotonic(), deadline)
            application.processEvents()
            time.sleep(0.005)
        application.processEvents()

    def shown(self):
        return {layer.name() for layer in self.project.layerTreeRoot().checkedLayers()}

    def rasters(self):
        layers = self.project.mapLayers().values()
        return sorted(one.name() for one in layers if isinstance(one, QgsRasterLayer))

    def test_the_first_cell_is_shown_while_the_others_are_mapped(self):
        seen = {}

        def look(_):
            seen["tree"], seen["shown"] = self.tree(), self.shown()

        parameters = self.parameters(COMPOSITE=self.output("best.tif"))
        _, feedback = self.run_in_thread(parameters, look)
        self.assertEqual(feedback.percents, sorted(feedback.percents), "one progress")
        self.assertTrue(feedback.texts[0].startswith("Mapping 2 cells"))
        self.assertFalse([text for text in feedback.texts if text.startswith("Cell")])
        first = ("Cell 7", ["7 RSRP, nearest"])
        self.assertEqual(seen["tree"], [("drive test: nearest", [first])])
        self.assertEqual(seen["shown"], {"7 RSRP, nearest", "drive test"})
        rest = ("Cell 8", ["8 RSRP, nearest"])
        run = ("drive test: nearest", ["RSRP of the best server", first, rest])
        self.assertEqual(self.tree(), [run])
        self.assertEqual(self.shown(), {"RSRP of the best server", "drive test"})
        self.assertEqual(len(self.rasters()), 3)
        ids = {name: one.id() for name in self.rasters() for one in self.found(name)}
        parameters["INPUT"].setName("again")
        self.run_in_thread(parameters, look)
        self.assertEqual(seen["tree"][0], ("again: nearest", [first]))
        self.assertEqual(
            [one for one in self.tree() if one != "again"], [("again: nearest", run[1])]
        )
        self.assertEqual({n: one.id() for n in self.rasters() for one in self.found(n)}, ids)

    def found(self, name):
        return self.project.mapLayersByName(name)

    def test_an_output_of_its_own_and_layers_switched_off_are_not_loaded_early(self):
        for more, names in (
            ({"RSRP": self.output("one.tif")}, ["7 RSRP, nearest", "8 RSRP, nearest"]),
            ({"LOAD": False}, []),
        ):
            self.project.clear()
            seen = []
            parameters = self.parameters(**more)
            self.run_in_thread(parameters, lambda _, seen=seen: seen.extend(self.rasters()))
            self.assertEqual(seen, [])
            self.assertEqual(self.rasters(), names)
            sources = {one.source() for name in names for one in self.found(name)}
            self.assertEqual(str(self.folder / "one.tif") in sources, bool(names))

    def test_a_step_of_a_model_loads_its_layers_at_the_end(self):
        seen = []
        self.run_in_thread(self.parameters(), lambda _: seen.extend(self.rasters()), in_main=False)
        self.assertEqual(seen, [])
        self.assertEqual(self.rasters(), ["7 RSRP, nearest", "8 RSRP, nearest"])

    def test_another_project_gets_no_layers_of_a_run(self):
        parameters = self.parameters()
        parameters["INPUT"] = parameters["INPUT"].id()  # as in the dialog
        self.run_in_thread(parameters, lambda _: self.project.clear())
        self.assertEqual(self.rasters(), [])

    def test_a_cancel_keeps_the_cells_that_are_finished(self):
        parameters = self.parameters(COMPOSITE=self.output("best.tif"), **SLOW)
        results, feedback = self.run_in_thread(parameters, lambda feedback: feedback.cancel())
        self.assertEqual(results, {})
        self.assertIn("What is complete stays: cell 7", feedback.lines[-1])
        self.assertEqual(self.rasters(), ["7 RSRP, radiocycle", "7 buildings, radiocycle"])
        made = sorted(path.name for path in (self.folder / "maps").glob("*.tif"))
        self.assertEqual(made, ["7_buildings.tif", "7_rsrp.tif"])


SLOW = {"METHOD": "radiocycle", "REACH": 60.0, "ASSIMILATE": True}


class Held(Feedback):
    """Stops the thread of a run when a condition holds, until it is released."""

    def __init__(self):
        super().__init__()
        self.is_time = lambda: False
        self.is_held, self.is_released = threading.Event(), threading.Event()

    def setProgress(self, percent):
        super().setProgress(percent)
        if self.is_time():
            self.is_held.set()
            self.is_released.wait(HANG_S)


def open_files():
    """Files that this process has open."""
    folder = Path("/proc/self/fd")
    return {os.readlink(one) for one in folder.iterdir() if one.is_symlink()}


class DescriptionTests(QgisTestCase):
    def algorithms(self):
        provider = registry.providerById("rm_geo")
        return {a.name(): a for a in provider.algorithms()}

    def test_the_provider_has_an_icon_and_all_algorithms(self):
        provider = registry.providerById("rm_geo")
        self.assertFalse(provider.icon().isNull())
        self.assertTrue(provider.versionInfo())
        self.assertLessEqual(
            {"estimate", "superresolve", "rasterize", "simulate", "check_environment"},
            set(self.algorithms()),
        )

    def test_every_algorithm_and_parameter_is_explained(self):
        for name, algorithm in self.algorithms().items():
            self.assertTrue(algorithm.shortHelpString(), name)
            self.assertTrue(algorithm.group(), name)
            self.assertTrue(algorithm.shortDescription(), name)
            if " " not in name:  # a model has no tags
                self.assertIn("RSRP", algorithm.tags(), name)
            for parameter in algorithm.parameterDefinitions():
                self.assertTrue(parameter.help(), f"{name} {parameter.name()}")

    def test_every_algorithm_has_an_icon_file_and_an_address_of_its_help(self):
        icons = set()
        manual = (Path(__file__).parents[2] / "docs" / "qgis.md").read_text("utf-8")
        titles = [line[3:] for line in manual.splitlines() if line.startswith("## ")]
        sections = {title.lower().replace(" ", "-") for title in titles}
        for name, algorithm in self.algorithms().items():
            if " " in name:
                continue
            self.assertTrue(Path(algorithm.svgIconPath()).is_file(), algorithm.svgIconPath())
            page, _, section = algorithm.helpUrl().partition("#")
            self.assertTrue(page.endswith("/qgis.html"), name)
            self.assertIn(section, sections, name)
            icons.add(algorithm.svgIconPath())
        self.assertGreater(len(icons), 7)

    def test_choices_are_their_names_in_scripts(self):
        definition = self.algorithms()["estimate"].parameterDefinition("DEVICE")
        self.assertTrue(definition.usesStaticStrings())
        self.assertEqual(definition.options(), list(DEVICES))

    def test_hints_name_parameters_that_exist(self):
        labels = {
            p.description() for a in self.algorithms().values() for p in a.parameterDefinitions()
        }
        for option, text in LABELS.items():
            if text.startswith("the parameter '"):
                self.assertIn(text.split("'")[1], labels, option)

    def test_only_a_few_parameters_are_shown_at_first(self):
        flag = QgsProcessingParameterDefinition.Flag.FlagAdvanced
        shown = [
            p.name()
            for p in self.algorithms()["estimate"].parameterDefinitions()
            if not p.flags() & flag
        ]
        self.assertLess(len(shown), 17)

    def test_the_example_model_chains_two_algorithms(self):
        model = self.algorithms()["Drive test to fine radio map"]
        used = [child.algorithmId() for child in model.childAlgorithms().values()]
        self.assertEqual(sorted(used), ["rm_geo:estimate", "rm_geo:superresolve"])
        self.assertEqual(model.validate(), (True, []))
        (most_cells,) = model.childAlgorithms()["estimate"].parameterSources()["TOP"]
        self.assertEqual(most_cells.staticValue(), 1, "only the cell that is refined")

    def test_the_planning_model_goes_from_a_drive_test_to_a_report(self):
        model = self.algorithms()["Drive test to plan and report"]
        used = [child.algorithmId() for child in model.childAlgorithms().values()]
        self.assertEqual(sorted(used), ["rm_geo:estimate", "rm_geo:plan", "rm_geo:report"])
        self.assertEqual(model.validate(), (True, []))
        self.assertEqual(
            model.parameterDefinition("method").options(),
            self.algorithms()["estimate"].parameterDefinition("METHOD").options(),
        )


if __name__ == "__main__":
    main()
