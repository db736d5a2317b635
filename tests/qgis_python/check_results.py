"""Results as layers: styled, grouped by cell, with their history."""

import math
import shutil

from harness import DATA, FAST, Feedback, QgisTestCase, main, registry
from processing.gui.Postprocessing import handleAlgorithmResults
from qgis.core import (
    QgsColorRampShader,
    QgsLayerTreeRegistryBridge,
    QgsProcessingParameterDefinition,
    QgsRasterLayer,
)
from rm_geo_qgis.algorithms.parameters import DEVICES
from rm_geo_qgis.labels import LABELS
from rm_geo_qgis.results import STYLES, ResultLayer, apply_style, register_finisher

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


class LoadingTests(QgisTestCase):
    def load(self, parameters):
        """Run as the dialog does, and load the results as it does."""
        context, feedback = self.context(), Feedback()
        algorithm = registry.algorithmById("rm_geo:estimate").create()
        results, ok = algorithm.run(parameters, context, feedback)
        self.assertTrue(ok, feedback.lines)
        self.assertTrue(handleAlgorithmResults(algorithm, context, feedback, parameters=parameters))
        return results

    def groups(self):
        root = self.project.layerTreeRoot()
        return {g.name(): [n.name() for n in g.children()] for g in root.findGroups()}

    def parameters(self, **more):
        return {
            "INPUT": self.layer("drive.gpkg"),
            "OUTPUT": str(self.folder / "maps"),
            **FAST,
            "WITH_UNCERTAINTY": False,
            **more,
        }

    def test_the_maps_of_each_cell_are_a_group(self):
        self.load(self.parameters())
        self.assertEqual(self.groups(), {"Cell 7": ["7 RSRP"], "Cell 8": ["8 RSRP"]})
        (layer,) = self.project.mapLayersByName("7 RSRP")
        self.assertEqual(layer.renderer().type(), "singlebandpseudocolor")
        self.assertEqual([i.value for i in shader_of(layer).colorRampItemList()], BREAKS)

    def test_a_layers_metadata_says_where_it_comes_from(self):
        self.load(self.parameters())
        (layer,) = self.project.mapLayersByName("8 RSRP")
        metadata = layer.metadata()
        self.assertEqual(metadata.title(), "8 RSRP")
        self.assertIn("nearest", metadata.abstract())
        self.assertIn("drive.gpkg", metadata.abstract())
        self.assertIn("cell: 8", metadata.history())
        self.assertTrue(any(line.startswith("input_sha256: ") for line in metadata.history()))

    def test_a_second_run_goes_on_top_in_the_same_group(self):
        self.load(self.parameters())
        self.load(self.parameters(OUTPUT=str(self.folder / "again")))
        self.assertEqual(self.groups()["Cell 7"], ["7 RSRP", "7 RSRP"])

    def test_groups_stay_side_by_side_wherever_qgis_puts_new_layers(self):
        self.load(self.parameters())
        again = self.parameters(OUTPUT=str(self.folder / "again"))
        root = self.project.layerTreeRoot()
        inside = QgsLayerTreeRegistryBridge.InsertionPoint(root.findGroup("Cell 7"), 0)
        bridge = self.project.layerTreeRegistryBridge()
        bridge.setLayerInsertionPoint(inside)
        at_top = QgsLayerTreeRegistryBridge.InsertionPoint(root, 0)
        self.addCleanup(bridge.setLayerInsertionPoint, at_top)
        self.load(again)
        self.assertEqual(self.groups(), {"Cell 7": ["7 RSRP"] * 2, "Cell 8": ["8 RSRP"] * 2})

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
        self.assertEqual(self.groups(), {})

    def test_buildings_lie_on_the_map_and_uncertainty_below_and_hidden(self):
        context = self.context()
        kept = []
        for kind in ("uncertainty", "rsrp", "buildings"):
            path = self.folder / f"5_{kind}.tif"
            shutil.copy(DATA / "coarse.tif", path)
            kept.append(
                register_finisher(context, ResultLayer(str(path), kind, "5", {}), load=True)
            )
        handleAlgorithmResults(
            registry.algorithmById("rm_geo:estimate"), context, Feedback(), parameters={}
        )
        self.assertEqual(self.groups(), {"Cell 5": ["5 buildings", "5 RSRP", "5 uncertainty"]})
        node = self.project.layerTreeRoot().findGroup("Cell 5").children()[2]
        self.assertFalse(node.itemVisibilityChecked())


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
            if " " in name:
                continue  # a model: its text is its own
            self.assertIn("RSRP", algorithm.tags(), name)
            self.assertTrue(algorithm.shortDescription(), name)
            for parameter in algorithm.parameterDefinitions():
                self.assertTrue(parameter.help(), f"{name} {parameter.name()}")

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
        self.assertLess(len(shown), 14)

    def test_the_example_model_chains_two_algorithms(self):
        model = self.algorithms()["Drive test to fine radio map"]
        used = [child.algorithmId() for child in model.childAlgorithms().values()]
        self.assertEqual(sorted(used), ["rm_geo:estimate", "rm_geo:superresolve"])
        self.assertEqual(model.validate(), (True, []))

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
