"""The window of QGIS as a user has it; run by ``qgis --code``, writes pictures.

Opens the drive test in a project, runs 'Estimate radio map' from its dialog with the Run button,
waits for the layers, and grabs the window, the dialog and the settings page.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

from qgis.core import QgsProject, QgsVectorLayer
from qgis.PyQt.QtCore import QEventLoop, QTimer
from qgis.PyQt.QtWidgets import QDockWidget, QPushButton, QTextEdit, QToolBar
from qgis.utils import iface

OUT = Path(os.environ["RM_GEO_TEST_OUT"])
DRIVE_TEST = os.environ["RM_GEO_TEST_DRIVE_TEST"]
SITES = os.environ.get("RM_GEO_TEST_SITES", "")
PARAMETERS = json.loads(os.environ.get("RM_GEO_TEST_PARAMETERS", "{}"))
TIMEOUT_S = 200.0


def wait_until(is_done, what, timeout_s=TIMEOUT_S):
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        pause(0.05)


def pause(seconds):
    loop = QEventLoop()
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    (loop.exec if hasattr(loop, "exec") else loop.exec_)()


def text_of(dialog):
    """What the dialog's log says."""
    return "\n".join(text.toPlainText() for text in dialog.findChildren(QTextEdit))


def grab(widget, name):
    pause(0.5)
    assert widget.grab().save(str(OUT / name)), name


def main():
    import processing

    window = iface.mainWindow()
    window.resize(1400, 900)
    for dock in window.findChildren(QDockWidget):
        if dock.objectName() in ("Browser", "Browser2"):
            dock.hide()
    layer = QgsVectorLayer(DRIVE_TEST, "drive test", "ogr")
    assert layer.isValid()
    project = QgsProject.instance()
    project.addMapLayer(layer)
    project.setCrs(layer.crs())
    iface.mapCanvas().setExtent(layer.extent())
    iface.setActiveLayer(layer)
    style = next(a for a in menu_actions() if a.text().startswith("Style as drive test"))
    style.trigger()
    menu = picture_of_menu(window)

    parameters = {"INPUT": layer, **PARAMETERS}
    if SITES:
        parameters["SITES"] = SITES
    dialog = processing.createAlgorithmDialog("rm_geo:estimate", parameters)
    dialog.resize(1000, 760)
    dialog.show()
    grab(dialog, "dialog.png")
    cells = choice_of_cells(dialog)
    button = next(b for b in dialog.findChildren(QPushButton) if b.text().replace("&", "") == "Run")
    button.click()
    groups = project.layerTreeRoot()
    wait_until(lambda: groups.findGroups(), "the first layers")
    early = sorted(one.name() for one in groups.checkedLayers()), button.isEnabled()
    wait_until(lambda: button.isEnabled(), "the end of the run")
    wait_until(lambda: "finished" in text_of(dialog), "the last layers")
    grab(dialog, "log.png")
    dialog.close()

    if iface.messageBar().currentItem() is not None:
        iface.messageBar().clearWidgets()
    (run,) = groups.findGroups()
    rasters = [node.layer() for node in run.findLayers()]
    groups.findLayer(layer.id()).setItemVisibilityChecked(False)
    iface.setActiveLayer(rasters[0])
    project.setCrs(rasters[0].crs())
    iface.mapCanvas().setExtent(rasters[0].extent())
    iface.mapCanvas().refresh()
    wait_until(lambda: not iface.mapCanvas().isDrawing(), "the canvas")
    pause(1.5)
    grab(window, "window.png")
    image = iface.mapCanvas().grab().toImage()
    facts = {
        "groups": {g.name(): [n.name() for n in g.children()] for g in groups.findGroups(True)},
        "shown": sorted(one.name() for one in groups.checkedLayers()),
        "cells": cells,
        "early": early,
        "points": layer.renderer().type(),
        "menu": menu,
        "toolbar": [a.text() for a in toolbar(window).actions()],
        "styles": {r.name(): r.renderer().type() for r in rasters},
        "modules": sorted({"torch", "rasterio", "geopandas", "rm_geo"} & set(sys.modules)),
        "drawn": len({image.pixel(x, y) for x in range(100, 600, 7) for y in range(100, 500, 7)}),
    }
    facts["first_run"] = first_run()
    facts["page"] = settings_page()
    other_windows(parameters)
    (OUT / "facts.json").write_text(json.dumps(facts))


def choice_of_cells(dialog):
    """List the cells from the dialog, choose one, and choose all of them again."""
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog
    from processing.gui.wrappers import WidgetWrapperFactory
    from processing.modeler.ModelerParametersDialog import ModelerParametersDialog
    from qgis.core import QgsProcessingContext, QgsProcessingModelAlgorithm
    from qgis.PyQt.QtCore import Qt

    widget = dialog.mainWidget().wrappers["CELLS"]
    widget.button.click()
    wait_until(lambda: not widget.dialog.bar.isVisible(), "the list of cells")
    grab(widget.dialog, "cells.png")
    tree = widget.dialog.tree
    rows = [tree.topLevelItem(row) for row in range(tree.topLevelItemCount())]
    facts = {
        "said": widget.dialog.label.text(),
        "listed": sorted((row.text(0), row.data(1, Qt.ItemDataRole.DisplayRole)) for row in rows),
    }
    rows[0].setCheckState(0, Qt.CheckState.Unchecked)
    facts["left"] = [row.text(0) for row in rows[1:]]
    widget.dialog.ok_button.click()
    facts["value"] = widget.parameterValue()
    widget.button.click()
    wait_until(lambda: not widget.dialog.bar.isVisible(), "the list of cells")
    facts["again"] = widget.dialog.label.text()
    widget.dialog.all_button.click()
    widget.dialog.ok_button.click()
    facts["all"] = widget.parameterValue()
    algorithm = dialog.algorithm()
    parameter = algorithm.parameterDefinition("CELLS")
    model, context = QgsProcessingModelAlgorithm("m", "m", "m"), QgsProcessingContext()
    others = {
        "batch": BatchAlgorithmDialog(algorithm.create(), iface.mainWindow()),
        "model": ModelerParametersDialog(algorithm.create(), model),
    }
    for name, other in others.items():
        made = WidgetWrapperFactory.create_wrapper(parameter, other)
        facts[name] = type(made).__name__
        if name == "batch":
            kept = made.createWrappedWidget(context)
            made.setParameterValue("7, 8", context)
            facts["text"] = made.parameterValue()
            kept.deleteLater()
        other.close()
    return facts


def menu_actions():
    """Entries of the plugin's menu."""
    (menu,) = (
        action.menu()
        for action in iface.rasterMenu().actions()
        if action.menu() is not None and action.text().replace("&", "").startswith("Radio maps")
    )
    return menu.actions()


def toolbar(window):
    return window.findChild(QToolBar, "rm_geo_toolbar")


def picture_of_menu(window):
    """Grab the menu and the toolbar; gives the texts of the menu."""
    actions = menu_actions()
    menu = actions[0].associatedWidgets()[0] if hasattr(actions[0], "associatedWidgets") else None
    if menu is not None:
        menu.popup(window.mapToGlobal(window.rect().center()))
        grab(menu, "menu.png")
        menu.hide()
    grab(toolbar(window), "toolbar.png")
    return [action.text() for action in actions if not action.isSeparator()]


def first_run():
    """The message bar of a plugin without an interpreter, and what its button finds."""
    from rm_geo_qgis import settings
    from rm_geo_qgis.first_run import tell_if_no_interpreter

    record = settings.PLUGIN_FOLDER / "environment.json"
    kept = record.rename(record.with_suffix(".kept"))
    home = Path(os.environ["HOME"])
    environment = OUT / "home" / "venvs" / "maps"
    for name in ("bin", "lib/python3.11/site-packages/rm_geo-1.dist-info"):
        (environment / name).mkdir(parents=True)
    (environment / "bin" / "python").symlink_to("/usr/bin/python3")
    os.environ["HOME"] = str(OUT / "home")
    try:
        message = tell_if_no_interpreter(iface)
        grab(iface.mainWindow(), "first_run.png")
        find = message.findChild(QPushButton, "rm_geo_find")
        find.click()
        found = settings.interpreter_setting()
        said = iface.messageBar().currentItem().text()
    finally:
        os.environ["HOME"] = str(home)
        settings.set_interpreter("")
        kept.rename(record)
    iface.messageBar().clearWidgets()
    return {"found": found, "said": said, "after": tell_if_no_interpreter(iface) is None}


def settings_page():
    """Show the plugin's page alone, press Check, and give what it says."""
    from rm_geo_qgis.options_page import OptionsPageFactory

    page = OptionsPageFactory().createWidget(None)
    page.resize(860, 620)
    page.setWindowTitle("Options — Radio maps (rm_geo)")
    page.show()
    page.button.click()
    wait_until(lambda: not page.is_checking(), "the check")
    grab(page, "settings.png")
    good = page.report.toPlainText()
    page.interpreter.setFilePath("/usr/bin/python3")
    page.button.click()
    wait_until(lambda: not page.is_checking(), "the check")
    grab(page, "settings_bad.png")
    return {"good": good, "bad": page.report.toPlainText(), "origin": page.origin.text()}


def other_windows(parameters):
    """Grab the batch dialog and the example model in the model designer."""
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog
    from processing.modeler.ModelerDialog import ModelerDialog
    from qgis.core import QgsApplication
    from rm_geo_qgis.provider import FOLDER

    algorithm = QgsApplication.processingRegistry().algorithmById("rm_geo:estimate")
    batch = BatchAlgorithmDialog(algorithm.create(), iface.mainWindow())
    batch.resize(1100, 420)
    batch.show()
    grab(batch, "batch.png")
    batch.close()
    designer = ModelerDialog.create()
    designer.loadModel(str(FOLDER / "models" / "drive_test_to_fine_map.model3"))
    designer.resize(1200, 760)
    designer.show()
    grab(designer, "model.png")


def run():
    try:
        main()
    except BaseException:
        (OUT / "error.txt").write_text(traceback.format_exc())
    finally:
        sys.stdout.flush()
        os._exit(0)


QTimer.singleShot(2000, run)
