"""Layers as files: a plain file is read where it lies, all else as QGIS sees it."""

import shutil

from harness import DATA, FAST, Feedback, QgisTestCase, main, registry
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsField,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsVectorLayer,
    QgsVectorLayerJoinInfo,
)
from qgis.PyQt.QtCore import QVariant


class InputTests(QgisTestCase):
    def look(self, value, **more):
        algorithm = self.prepared("rm_geo:estimate", {"INPUT": value, **more})
        return algorithm._input

    def refused(self, *words, **parameters):
        with self.assertRaises(QgsProcessingException) as caught:
            self.prepared(parameters.pop("algorithm", "rm_geo:estimate"), parameters)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def exported(self, found):
        file = found.as_file(str(self.folder), Feedback())
        layer = QgsVectorLayer(file.path, "exported", "ogr")
        self.assertTrue(layer.isValid())
        return layer

    def test_a_plain_file_is_read_where_it_lies(self):
        found = self.look(self.layer("drive.gpkg"))
        self.assertEqual(found.direct.path, str(DATA / "drive.gpkg"))
        self.assertIsNone(found.direct.layer)
        by_path = self.look(str(DATA / "drive.gpkg"))
        self.assertEqual(by_path.direct.path, str(DATA / "drive.gpkg"))

    def test_one_of_several_layers_is_named(self):
        layer = QgsVectorLayer(f"{DATA / 'two.gpkg'}|layername=second", "second", "ogr")
        self.project.addMapLayer(layer)
        self.assertEqual(self.look(layer).direct.layer, "second")

    def test_filter_of_the_layer_is_applied(self):
        layer = self.layer("drive.gpkg")
        layer.setSubsetString("pci = '7'")
        found = self.look(layer)
        self.assertIsNone(found.direct)
        self.assertEqual(self.exported(found).featureCount(), 30)

    def test_selection_is_applied_only_on_request(self):
        layer = self.layer("drive.gpkg")
        layer.selectByExpression("fid <= 12")
        self.assertIsNotNone(self.look(layer).direct)
        selected = QgsProcessingFeatureSourceDefinition(layer.id(), True)
        found = self.look(selected)
        self.assertIsNone(found.direct)
        self.assertEqual(self.exported(found).featureCount(), 12)

    def test_unsaved_edits_are_included(self):
        copy = self.folder / "edited.gpkg"
        shutil.copy(DATA / "drive.gpkg", copy)
        layer = QgsVectorLayer(str(copy), "edited", "ogr")
        self.project.addMapLayer(layer)
        layer.startEditing()
        self.assertIsNotNone(self.look(layer).direct, "nothing is changed yet")
        layer.deleteFeature(1)
        found = self.look(layer)
        self.assertIsNone(found.direct)
        self.assertEqual(self.exported(found).featureCount(), 59)
        layer.rollBack()

    def test_memory_layers_work_with_fields_in_order(self):
        layer = QgsVectorLayer("Point?crs=EPSG:32633", "im Speicher/ü", "memory")
        layer.dataProvider().addAttributes(
            [QgsField("rsrp", QVariant.Double), QgsField("Zelle ü", QVariant.String)]
        )
        layer.updateFields()
        features = []
        for i in range(20):
            feature = QgsFeature(layer.fields())
            feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(5e5 + i, 5.4e6)))
            feature.setAttributes([-60.5 - i, "A"])
            features.append(feature)
        layer.dataProvider().addFeatures(features)
        self.project.addMapLayer(layer)
        out = self.exported(self.look(layer))
        self.assertEqual([f.name() for f in out.fields()], ["rsrp", "Zelle ü"])
        self.assertEqual([f["rsrp"] for f in out.getFeatures()], [-60.5 - i for i in range(20)])
        self.assertEqual(out.crs(), layer.crs())

    def test_crs_set_by_the_user_is_used(self):
        layer = self.layer("drive.gpkg")
        layer.setCrs(QgsCoordinateReferenceSystem("EPSG:4258"))
        found = self.look(layer)
        self.assertIsNone(found.direct)
        self.assertEqual(self.exported(found).crs().authid(), "EPSG:4258")

    def test_virtual_fields_are_included(self):
        layer = self.layer("drive.gpkg")
        layer.addExpressionField('"rsrp" - 3', QgsField("corrected", QVariant.Double))
        found = self.look(layer)
        self.assertIsNone(found.direct)
        self.assertIn("corrected", [f.name() for f in self.exported(found).fields()])

    def test_a_table_of_sites_without_geometry(self):
        found = self.prepared(
            "rm_geo:estimate",
            {"INPUT": self.layer("drive.gpkg"), "SITES": str(DATA / "sites.csv")},
        )
        self.assertEqual(found._sites.direct.path, str(DATA / "sites.csv"))

    def test_lines_are_refused(self):
        self.refused("lines", "points", "Extract vertices", INPUT=self.layer("lines.gpkg"))

    def test_an_empty_layer_is_refused(self):
        layer = self.layer("drive.gpkg")
        layer.setSubsetString("pci = 'none'")
        self.refused("has no features", "filter", INPUT=layer)

    def test_an_empty_selection_is_refused(self):
        layer = self.layer("drive.gpkg")
        selected = QgsProcessingFeatureSourceDefinition(layer.id(), True)
        self.refused("no features", "selection", INPUT=selected)

    def test_a_layer_without_crs_is_refused(self):
        layer = QgsVectorLayer("Point?field=rsrp:double", "nowhere", "memory")
        layer.setCrs(QgsCoordinateReferenceSystem())
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(1, 2)))
        layer.dataProvider().addFeatures([feature])
        self.project.addMapLayer(layer)
        self.refused("no coordinate reference system", "Layer CRS", INPUT=layer)

    def test_a_layer_that_is_not_there_is_refused(self):
        self.refused("cannot be opened", "nothing.gpkg", INPUT=str(DATA / "nothing.gpkg"))

    def test_simulation_needs_either_sites_or_a_position(self):
        buildings = self.layer("buildings.gpkg", "buildings")
        either = "Give either"
        self.refused(either, algorithm="rm_geo:simulate", BUILDINGS=buildings)
        both = {"SITES": str(DATA / "sites.csv"), "POSITION": "500000,5400000 [EPSG:32633]"}
        self.refused(either, algorithm="rm_geo:simulate", BUILDINGS=buildings, **both)
        self.refused(
            "points", "polygons", algorithm="rm_geo:simulate", BUILDINGS=self.layer("drive.gpkg")
        )

    def test_results_of_a_filtered_layer_are_those_of_its_features(self):
        layer = self.layer("drive.gpkg")
        layer.setSubsetString("pci = '7'")
        done = self.run_algorithm(
            "rm_geo:estimate", {"INPUT": layer, "OUTPUT": str(self.folder / "out"), **FAST}
        )
        self.assertEqual(done["MAPPED_CELLS"], 1)
        self.assertTrue(done["RSRP"].endswith("7_rsrp.tif"))


class WarningTests(QgisTestCase):
    def test_warnings_of_reading_stand_out_in_every_algorithm(self):
        layer = self.layer("far.gpkg")
        outputs = {"rasterize": "maps", "inspect": "report.html"}
        for name, output in outputs.items():
            feedback = Feedback()
            parameters = {"INPUT": layer, "OUTPUT": str(self.folder / output)}
            self.run_algorithm(f"rm_geo:{name}", parameters, feedback)
            (warning,) = feedback.warnings
            self.assertTrue(warning.startswith("Warning: "), warning)
            self.assertIn("km apart", warning)
            self.assertIn("the parameter 'Cell field'", warning)
            self.assertFalse([line for line in feedback.lines if "km apart" in line])

    def memory_layer(self, fields, rows):
        """A layer of points along a line, with these fields and values."""
        uri = "&".join(["Point?crs=EPSG:32633", *(f"field={one}" for one in fields)])
        layer = QgsVectorLayer(uri, "log", "memory")
        features = []
        for i, values in enumerate(rows):
            feature = QgsFeature(layer.fields())
            feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(5e5 + i, 5.4e6)))
            feature.setAttributes(list(values))
            features.append(feature)
        layer.dataProvider().addFeatures(features)
        self.project.addMapLayer(layer)
        return layer

    def inspected(self, layer, **more):
        feedback = Feedback()
        parameters = {"INPUT": layer, "OUTPUT": str(self.folder / "report.html"), **more}
        return self.run_algorithm("rm_geo:inspect", parameters, feedback), feedback

    def test_rows_without_a_cell_and_fields_of_a_join_are_warnings(self):
        rows = [(-80.0 - i, "A" if i % 3 else None) for i in range(12)]
        _, feedback = self.inspected(self.memory_layer(("rsrp:double", "pci:string"), rows))
        (warning,) = feedback.warnings
        self.assertIn("4 of 12 rows name no cell", warning)
        self.assertIn("the parameter 'Only these cells'", warning)
        table = QgsVectorLayer("None?field=row:integer&field=pci:string", "cells", "memory")
        features = [QgsFeature(table.fields()) for _ in rows]
        for i, feature in enumerate(features):
            feature.setAttributes([i, rows[i][1] or "B"])
        table.dataProvider().addFeatures(features)
        numbered = [(level, i) for i, (level, _) in enumerate(rows)]
        joined = self.memory_layer(("rsrp:double", "row:integer"), numbered)
        join = QgsVectorLayerJoinInfo()
        join.setJoinLayer(table)
        join.setJoinFieldName("row")
        join.setTargetFieldName("row")
        join.setUsingMemoryCache(True)
        self.project.addMapLayer(table)
        self.assertTrue(joined.addJoin(join))
        self.assertIn("cells_pci", [field.name() for field in joined.fields()])
        done, feedback = self.inspected(joined)
        (warning,) = feedback.warnings
        self.assertIn("'cells_pci' may identify it", warning)
        self.assertEqual(done["CELLS"], 1)
        done, feedback = self.inspected(joined, CELL_FIELD="cells_pci")
        self.assertEqual((done["CELLS"], feedback.warnings), (2, []))

    def test_a_text_field_can_be_the_rsrp_and_a_ratio_cannot(self):
        rows = [(str(-80.5 - i), -11.0, "A") for i in range(12)]
        layer = self.memory_layer(("Pegel:string", "rsrq:double", "pci:string"), rows)
        algorithm = registry.algorithmById("rm_geo:estimate")
        definition = algorithm.parameterDefinition("RSRP_FIELD")
        self.assertEqual(definition.dataType(), definition.DataType.Any)
        done, _ = self.inspected(layer, RSRP_FIELD="Pegel")
        self.assertEqual(done["USED"], 12)
        with self.assertRaises(QgsProcessingException) as caught:
            self.inspected(layer, RSRP_FIELD="rsrq")
        self.assertIn("a ratio in dB", str(caught.exception))
        self.assertIn("the parameter 'RSRP field'", str(caught.exception))

    def test_fields_with_aliases_are_found_and_chosen_by_their_names(self):
        rows = [(-80.0 - i, "AB"[i % 2]) for i in range(12)]
        layer = self.memory_layer(("f1:double", "f2:string"), rows)
        layer.setFieldAlias(0, "Pegel [dBm]")
        layer.setFieldAlias(1, "Zelle")
        done, _ = self.inspected(layer, RSRP_FIELD="f1", CELL_FIELD="f2")
        self.assertEqual((done["USED"], done["CELLS"]), (12, 2))
        named = self.memory_layer(("rsrp:double", "pci:string"), rows)
        named.setFieldAlias(0, "RSRQ")
        done, _ = self.inspected(named)
        self.assertEqual((done["USED"], done["CELLS"]), (12, 2))

    def test_the_report_names_the_layer(self):
        layer = self.layer("drive.gpkg", "Messfahrt <1>")
        layer.setSubsetString("pci = '7'")
        report = self.folder / "report.html"
        done = self.run_algorithm("rm_geo:inspect", {"INPUT": layer, "OUTPUT": str(report)})
        self.assertEqual((done["USED"], done["CELLS"], done["WARNINGS"]), (30, 1, 0))
        self.assertIn("Measurements of Messfahrt &lt;1&gt;", report.read_text("utf-8"))


if __name__ == "__main__":
    main()
