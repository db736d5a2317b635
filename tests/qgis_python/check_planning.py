"""Planning: products as layers with one colour a cell, named classes, ranked holes."""

from harness import DATA, Feedback, QgisTestCase, main, registry
from processing.gui.Postprocessing import handleAlgorithmResults
from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsProcessingException,
    QgsProcessingOutputLayerDefinition,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from rm_geo_qgis.layer_styles import STYLES

MAPS = str(DATA / "maps ü")


def layers_of(*names, folder="maps ü"):
    return [str(DATA / folder / f"{name}_rsrp.tif") for name in names]


class PlanningTests(QgisTestCase):
    def load(self, name, **parameters):
        """Run as the dialog does, and load the results as it does."""
        context, feedback = self.context(), Feedback()
        algorithm = registry.algorithmById(f"rm_geo:{name}").create()
        results, ok = algorithm.run(parameters, context, feedback)
        self.assertTrue(ok, feedback.lines)
        self.assertTrue(handleAlgorithmResults(algorithm, context, feedback, parameters=parameters))
        return results, feedback

    def target(self, name):
        """An output that is loaded, as that of the dialog is."""
        path = name if name == "TEMPORARY_OUTPUT" else str(self.folder / name)
        return QgsProcessingOutputLayerDefinition(path, self.project)

    def only(self, name):
        (layer,) = self.project.mapLayersByName(name)
        return layer

    def test_a_plan_is_one_group_with_holes_on_top(self):
        results, feedback = self.load(
            "plan", MAPS=MAPS, OUTPUT=str(self.folder / "plan"), THRESHOLD=-100.0
        )
        (group,) = self.project.layerTreeRoot().findGroups()
        self.assertEqual(group.name(), "Plan")
        names = [node.name() for node in group.children()]
        self.assertEqual(names[0], "coverage holes")
        self.assertLess(names.index("sectors"), names.index("best server"))
        self.assertLess(names.index("best server"), names.index("coverage classes"))
        self.assertLess(names.index("coverage classes"), names.index("RSRP of the best server"))
        shown = {n.name() for n in group.children() if n.itemVisibilityChecked()}
        self.assertLessEqual({"coverage holes", "coverage classes"}, shown)
        self.assertNotIn("dominance", shown)
        self.assertTrue((self.folder / "plan" / "plan.json").is_file())
        self.assertTrue(results["REPORT"].endswith("report.html"))
        self.assertGreater(results["NUMBER_OF_HOLES"], 0)
        self.assertTrue(any("of the area" in line for line in feedback.lines))
        said = [line.partition("Note: ")[2] or line for line in feedback.warnings + feedback.lines]
        self.assertEqual(sum("No roads are given" in line for line in feedback.warnings), 1)
        self.assertEqual(len(said), len(set(said)), "nothing is said twice")
        for layer in self.project.mapLayers().values():
            self.assertTrue(layer.isValid())
            self.assertTrue(layer.crs().isValid())

    def test_a_plan_into_the_same_folder_replaces_its_open_layers(self):
        parameters = {"MAPS": MAPS, "OUTPUT": str(self.folder / "plan"), "WITH_REPORT": False}
        self.load("plan", **parameters, PRODUCTS=["holes"], THRESHOLD=-100.0)
        before = self.only("coverage holes").featureCount()
        self.load("plan", **parameters, PRODUCTS=["holes"], THRESHOLD=-70.0)
        layer = self.only("coverage holes")
        self.assertTrue(layer.isValid())
        self.assertTrue(layer.labelsEnabled())
        fresh = QgsVectorLayer(str(self.folder / "plan" / "holes.gpkg"), "fresh", "ogr")
        self.assertEqual(layer.featureCount(), fresh.featureCount())
        areas = [
            sum(one.geometry().area() for one in each.getFeatures()) for each in (layer, fresh)
        ]
        self.assertAlmostEqual(*areas)
        self.assertGreater(before, 0)

    def test_a_cell_has_one_colour_in_all_layers(self):
        self.load("plan", LAYERS=layers_of("a", "b"), OUTPUT=str(self.folder / "plan"))
        raster = {
            entry.value: (entry.color.name(), entry.label.split(" (")[0])
            for entry in self.only("best server").renderer().classes()
        }
        self.assertEqual([name for _, name in raster.values()], ["a", "b"])
        self.assertEqual(len({colour for colour, _ in raster.values()}), 2)
        for name in ("server areas", "sectors"):
            polygons = {
                one.value(): (one.symbol().color().name(), one.label().split(" (")[0])
                for one in self.only(name).renderer().categories()
            }
            self.assertEqual(polygons, raster, name)
            self.assertTrue(self.only(name).labelsEnabled())

    def test_classes_have_names_areas_and_shares(self):
        self.load(
            "coverage_classes",
            MAPS=MAPS,
            COVERAGE=self.target("c.tif"),
            COVERAGE_AREAS=self.target("c.gpkg"),
        )
        raster = self.only("coverage classes")
        self.assertEqual(raster.renderer().type(), "paletted")
        labels = [entry.label for entry in raster.renderer().classes()]
        self.assertTrue(labels[0].startswith("excellent ("), labels)
        self.assertTrue(all("²" in label and "%" in label for label in labels))
        self.assertTrue((self.folder / "c.tif.aux.xml").is_file(), "names for other programs")
        areas = self.only("coverage areas")
        self.assertEqual(areas.renderer().classAttribute(), "value")
        self.assertEqual(
            {c.value(): c.symbol().color().name() for c in areas.renderer().categories()},
            {
                c.value: c.color.name()
                for c in raster.renderer().classes()
                if c.value in {one.value() for one in areas.renderer().categories()}
            },
        )
        self.assertEqual(self.project.layerTreeRoot().findGroups(), [])

    def test_holes_are_outlined_and_labelled(self):
        self.load("coverage_holes", MAPS=MAPS, THRESHOLD=-100.0, HOLES=self.target("h.gpkg"))
        layer = self.only("coverage holes")
        self.assertGreater(layer.featureCount(), 0)
        self.assertTrue(layer.labelsEnabled())
        self.assertIn("rank", layer.labeling().settings().fieldName)
        symbol = layer.renderer().symbol().symbolLayer(0)
        self.assertEqual(symbol.strokeColor().name(), "#a50026")

    def test_no_holes_are_an_empty_layer(self):
        results, _ = self.load(
            "coverage_holes", MAPS=MAPS, THRESHOLD=-200.0, HOLES=self.target("h.gpkg")
        )
        layer = QgsVectorLayer(results["HOLES"], "h", "ogr")
        self.assertTrue(layer.isValid())
        self.assertEqual(layer.featureCount(), 0)

    def test_single_products_give_the_layers_asked_for(self):
        results, _ = self.load(
            "best_server",
            LAYERS=layers_of("a", "b"),
            BEST_SERVER=self.target("s.tif"),
            SERVER_AREAS=self.target("TEMPORARY_OUTPUT"),
        )
        self.assertEqual(set(results), {"BEST_SERVER", "SERVER_AREAS"})
        self.assertEqual(QgsVectorLayer(results["SERVER_AREAS"], "a", "ogr").featureCount(), 2)
        self.load("interference", MAPS=MAPS, SAME_CARRIER=True, SINR=self.target("i.tif"))
        self.assertEqual(self.only("SINR").renderer().type(), "singlebandpseudocolor")
        self.load("coverage_probability", MAPS=MAPS, PROBABILITY=self.target("p.tif"))
        items = self.only("probability of coverage").renderer().shader().rasterShaderFunction()
        self.assertEqual(items.colorRampItemList()[-1].label, "100 %")

    def test_means_and_shares_of_polygons_are_those_of_zonal_statistics(self):
        raster = QgsRasterLayer(layers_of("a")[0], "a")
        extent, step = raster.extent(), raster.rasterUnitsPerPixelX()
        polygons = QgsVectorLayer(
            f"Polygon?crs={raster.crs().authid()}&field=name:string", "districts", "memory"
        )
        middle = raster.width() // 2
        for name, first, last in (("west", 0, middle), ("east", middle, raster.width())):
            feature = QgsFeature(polygons.fields())
            feature.setAttribute("name", name)
            left, right = (extent.xMinimum() + column * step for column in (first, last))
            bounds = QgsRectangle(left, extent.yMinimum(), right, extent.yMaximum())
            feature.setGeometry(QgsGeometry.fromRect(bounds))
            polygons.dataProvider().addFeature(feature)
        self.project.addMapLayer(polygons)
        self.load(
            "plan",
            LAYERS=layers_of("a"),
            POLYGONS=polygons,
            PRODUCTS=["statistics"],
            WITH_REPORT=False,
            OUTPUT=str(self.folder / "plan"),
        )
        made = QgsVectorLayer(str(self.folder / "plan" / "statistics_polygons.gpkg"), "ours", "ogr")
        theirs = self.run_algorithm(
            "native:zonalstatisticsfb",
            {
                "INPUT": polygons,
                "INPUT_RASTER": layers_of("a")[0],
                "RASTER_BAND": 1,
                "STATISTICS": [0, 2],  # count and mean
                "OUTPUT": "TEMPORARY_OUTPUT",
            },
        )["OUTPUT"]
        expected = {one["name"]: (one["_count"], one["_mean"]) for one in theirs.getFeatures()}
        found = {one["name"]: one for one in made.getFeatures()}
        self.assertEqual(set(found), {"west", "east"})
        for name, (count, mean) in expected.items():
            self.assertAlmostEqual(found[name]["mean_dbm"], mean, delta=2e-3)
            known_m2 = found[name]["area_m2"] * found[name]["known_share"]
            self.assertAlmostEqual(known_m2, count * step**2, delta=1e-3 * known_m2)

    def test_a_table_of_sites_becomes_points_with_wedges(self):
        table = self.folder / "sites.csv"
        table.write_text("pci,longitude,latitude,azimuth\n7,15.0,48.75,120\n8,15.001,48.75,\n")
        results, _ = self.load("sites_layer", SITES=str(table), OUTPUT=self.target("s.gpkg"))
        layer = self.only("sites")
        self.assertEqual((results["NUMBER"], layer.featureCount()), (2, 2))
        found = {one["cell"]: one["azimuth_deg"] for one in layer.getFeatures()}
        self.assertEqual(found["7"], 120.0)
        self.assertFalse(found["8"], "null")
        layers = [one.layerType() for one in layer.renderer().symbol().symbolLayers()]
        self.assertEqual(layers, ["GeometryGenerator", "SimpleMarker"])
        self.assertTrue(layer.labelsEnabled())

    def test_what_cannot_be_made_is_an_error_with_labels(self):
        with self.assertRaises(QgsProcessingException) as caught:
            self.run_algorithm(
                "rm_geo:coverage_probability",
                {"MAPS": str(DATA / "plain"), "PROBABILITY": str(self.folder / "p.tif")},
            )
        self.assertIn("Standard deviation of maps without one", str(caught.exception))
        self.assertEqual(list(self.folder.iterdir()), [])
        with self.assertRaises(QgsProcessingException) as caught:
            self.run_algorithm(
                "rm_geo:plan",
                {"MAPS": MAPS, "HOLES": str(self.folder / "h.shp"), "OUTPUT": str(self.folder)},
            )
        self.assertIn(".gpkg", str(caught.exception))
        for parameters, words in (
            ({}, "There are no radio maps"),
            ({"MAPS": "/no/such"}, "does not exist"),
        ):
            with self.assertRaises(QgsProcessingException) as caught:
                self.prepared("rm_geo:plan", parameters)
            self.assertIn(words, str(caught.exception))

    def test_comparison_of_layers_and_of_folders(self):
        results, _ = self.load(
            "compare",
            FIRST=layers_of("a")[0],
            SECOND=layers_of("a", folder="later")[0],
            OUTPUT=str(self.folder / "one"),
        )
        self.assertAlmostEqual(results["BIAS"], 30.0, 2)
        self.assertEqual(self.only("difference").renderer().type(), "singlebandpseudocolor")
        self.assertEqual(self.only("significant change").renderer().type(), "paletted")
        self.project.clear()
        self.load(
            "compare",
            FIRST_FOLDER=MAPS,
            SECOND_FOLDER=str(DATA / "later"),
            OUTPUT=str(self.folder / "all"),
            DIFFERENCE=self.target("d.tif"),
        )
        names = {layer.name() for layer in self.project.mapLayers().values()}
        self.assertLessEqual({"a difference", "b difference", "areas of change"}, names)
        with self.assertRaises(QgsProcessingException):
            self.prepared("rm_geo:compare", {"FIRST": layers_of("a")[0]})

    def test_export_takes_rasters_and_features(self):
        self.load("coverage_holes", MAPS=MAPS, THRESHOLD=-100.0, HOLES=self.target("h.gpkg"))
        results = self.run_algorithm(
            "rm_geo:export_map",
            {
                "INPUT": [layers_of("a")[0], self.only("coverage holes")],
                "FORMAT": "geoparquet",
                "OUTPUT": str(self.folder / "out"),
            },
        )
        files = sorted(path.name for path in (self.folder / "out").iterdir())
        self.assertEqual(files, ["a_rsrp.parquet", "h.parquet"])
        self.assertEqual(len(results["FILES"]), 2)
        self.only("coverage holes").setSubsetString("rank = 1")
        with self.assertRaises(QgsProcessingException) as caught:
            self.prepared("rm_geo:export_map", {"INPUT": [self.only("coverage holes")]})
        self.assertIn("Save Features As", str(caught.exception))

    def test_report_of_a_plan(self):
        plan = str(self.folder / "plan")
        self.run_algorithm(
            "rm_geo:plan", {"MAPS": MAPS, "OUTPUT": plan, "WITH_REPORT": False, "LOAD": False}
        )
        self.assertFalse((self.folder / "plan" / "report.html").exists())
        results = self.run_algorithm(
            "rm_geo:report",
            {"PLAN": plan, "TITLE": "Zwei Zellen", "OUTPUT": str(self.folder / "r.html")},
        )
        with open(results["OUTPUT"], encoding="utf-8") as page:
            self.assertIn("Zwei Zellen", page.read())


class VectorStyleTests(QgisTestCase):
    def test_every_vector_style_loads_on_what_it_is_for(self):
        self.run_algorithm(
            "rm_geo:plan",
            {
                "MAPS": MAPS,
                "THRESHOLD": -100.0,
                "OUTPUT": str(self.folder),
                "WITH_REPORT": False,
                "LOAD": False,
            },
        )
        for file, style, renderer in (
            ("holes", "holes", "singleSymbol"),
            ("contours", "contours", "graduatedSymbol"),
            ("statistics_grid", "statistics", "graduatedSymbol"),
            ("overlap", "overlap_areas", "categorizedSymbol"),
            ("next_drive", "next_drive", "singleSymbol"),
        ):
            layer = QgsVectorLayer(str(self.folder / f"{file}.gpkg"), file, "ogr")
            self.assertTrue(layer.isValid(), file)
            _, loaded = layer.loadNamedStyle(str(STYLES / f"{style}.qml"))
            self.assertTrue(loaded, style)
            self.assertEqual(layer.renderer().type(), renderer, style)
            names = {field.name() for field in layer.fields()}
            if renderer != "singleSymbol":
                self.assertIn(layer.renderer().classAttribute(), names, style)
        raster = QgsRasterLayer(str(self.folder / "coverage.tif"), "coverage")
        self.assertTrue(raster.isValid())


if __name__ == "__main__":
    main()
