"""The plugin with PyQt6, as in QGIS 4: run as a program, writes what happened as JSON.

PyQt6 is real; ``qgis.PyQt`` passes it on, as in QGIS. ``qgis.core`` and ``qgis.gui`` are stubs: any
class that is asked for exists, any method answers, and what looks like an enumeration has members
one dot further on only, as in PyQt6.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
import time
from types import ModuleType
from typing import Any

from PyQt6 import QtCore, QtGui, QtWidgets


class Scope:
    """An enumeration or a nested class; only its members can be used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, member: str) -> Stub:
        if member.startswith("__"):
            raise AttributeError(member)
        return Stub(f"{self._name}.{member}")

    def __call__(self, *_arguments: object) -> Stub:
        return Stub(self._name)


class StubType(type):
    """Classes whose attributes are enumerations or static methods."""

    def __getattr__(cls, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        return Scope(f"{cls.__name__}.{name}") if name[0].isupper() else Stub(name)


class Stub(metaclass=StubType):
    """Takes everything but unscoped enumerations, and answers with another one."""

    def __init__(self, *arguments: object, **options: object) -> None:
        _refuse_scopes(arguments, options)
        self.arguments = arguments

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub(name)

    def __call__(self, *arguments: object, **options: object) -> Stub:
        _refuse_scopes(arguments, options)
        return Stub()

    def __or__(self, other: object) -> Stub:
        _refuse_scopes((other,), {})
        return Stub()

    __and__ = __or__

    def __invert__(self) -> Stub:
        return Stub()


def _refuse_scopes(arguments: tuple[object, ...], options: dict[str, object]) -> None:
    """Raise if an argument is an enumeration instead of one of its members."""
    flat = [one for a in arguments for one in (a if isinstance(a, (list, tuple)) else (a,))]
    for value in (*flat, *options.values()):
        if isinstance(value, Scope):
            raise TypeError(f"{value._name} is no member of an enumeration")


class QgsProcessingAlgorithm(Stub):
    """Keeps its parameters by name."""

    def __init__(self) -> None:
        super().__init__()
        self.definitions: dict[str, Stub] = {}

    def addParameter(self, definition: Stub, *_more: object) -> bool:
        self.definitions[str(definition.arguments[0])] = definition
        return True

    def parameterDefinition(self, name: str) -> Stub | None:
        return self.definitions.get(name)


class QgsProcessingProvider(Stub):
    """Keeps its algorithms by name."""

    def __init__(self) -> None:
        super().__init__()
        self.algorithms: dict[str, Any] = {}

    def addAlgorithm(self, algorithm: Any) -> bool:
        algorithm.initAlgorithm({})
        self.algorithms[algorithm.name()] = algorithm
        return True

    def load(self) -> bool:
        self.refreshAlgorithms()
        return True

    def refreshAlgorithms(self) -> None:
        self.algorithms.clear()
        self.loadAlgorithms()


class QgsProcessingModelAlgorithm(Stub):
    """A model that cannot be read."""

    def fromFile(self, _path: str) -> bool:
        return False


class QgsSettings(Stub):
    """Settings that are forgotten at the end."""

    def value(self, _key: str, default: object = None) -> object:
        return default


class QgsFileWidget(QtWidgets.QWidget):
    """A line with the name of a file."""

    fileChanged = QtCore.pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self._line = QtWidgets.QLineEdit(self)

    def setDialogTitle(self, _title: str) -> None:
        pass

    def lineEdit(self) -> QtWidgets.QLineEdit:
        return self._line

    def filePath(self) -> str:
        return self._line.text()

    def setFilePath(self, path: str) -> None:
        self._line.setText(path)
        self.fileChanged.emit(path)


class QgsOptionsPageWidget(QtWidgets.QWidget):
    """A page of the options."""


class QgsOptionsWidgetFactory(QtCore.QObject):
    """Makes a page of the options."""

    def setTitle(self, title: str) -> None:
        self.title = title

    def setIcon(self, icon: QtGui.QIcon) -> None:
        self.shown = icon


class Registry:
    """Providers, and their algorithms by id."""

    def __init__(self) -> None:
        self.provider: Any = None

    def addProvider(self, provider: Any) -> bool:
        self.provider = provider
        return bool(provider.load())

    def removeProvider(self, provider: Any) -> None:
        provider.unload()
        self.provider = None

    def algorithmById(self, name: str) -> object:
        return self.provider.algorithms[name.split(":")[1]]


class MessageBar:
    """Keeps what it shows."""

    def __init__(self) -> None:
        self.shown: list[QtWidgets.QWidget] = []

    def createMessage(self, *texts: str) -> QtWidgets.QWidget:
        widget = QtWidgets.QWidget()
        layout = QtWidgets.QHBoxLayout(widget)
        layout.addWidget(QtWidgets.QLabel(" ".join(texts)))
        return widget

    def pushWidget(self, widget: QtWidgets.QWidget, *_level: object) -> None:
        self.shown.append(widget)

    def popWidget(self, widget: QtWidgets.QWidget) -> None:
        self.shown.remove(widget)

    def pushMessage(self, *texts: object, **_more: object) -> None:
        self.shown.append(self.createMessage(*map(str, texts)))


class Iface:
    """The window of QGIS."""

    def __init__(self) -> None:
        self.window, self.bar = QtWidgets.QMainWindow(), MessageBar()
        self.entries: list[QtGui.QAction] = []
        self.pages: list[object] = []

    def mainWindow(self) -> QtWidgets.QMainWindow:
        return self.window

    def messageBar(self) -> MessageBar:
        return self.bar

    def addToolBar(self, title: str) -> QtWidgets.QToolBar:
        bar = self.window.addToolBar(title)
        if bar is None:
            raise RuntimeError("no toolbar")
        return bar

    def addPluginToMenu(self, _menu: str, action: QtGui.QAction) -> None:
        self.entries.append(action)

    def removePluginMenu(self, _menu: str, action: QtGui.QAction) -> None:
        self.entries.remove(action)

    addPluginToRasterMenu, removePluginRasterMenu = addPluginToMenu, removePluginMenu

    def showOptionsDialog(self, _parent: object, page: str) -> None:
        self.opened = page

    def registerOptionsWidgetFactory(self, factory: object) -> None:
        self.pages.append(factory)

    def unregisterOptionsWidgetFactory(self, factory: object) -> None:
        self.pages.remove(factory)


REGISTRY = Registry()


class QgsApplication(Stub):
    """Gives the registry of algorithms."""

    @staticmethod
    def processingRegistry() -> Registry:
        return REGISTRY

    @staticmethod
    def instance() -> object:
        return QtWidgets.QApplication.instance()


class StubModule(ModuleType):
    """A module that has every class of QGIS."""

    def __getattr__(self, name: str) -> type:
        if not name.startswith("Qgs"):
            raise AttributeError(name)
        made = StubType(name, (Stub,), {})
        setattr(self, name, made)
        return made


def install_stub() -> None:
    """Let plugins import ``qgis`` as in QGIS 4."""
    qgis, pyqt = ModuleType("qgis"), ModuleType("qgis.PyQt")
    core, gui = StubModule("qgis.core"), StubModule("qgis.gui")
    for one in (
        *(QgsApplication, QgsProcessingAlgorithm, QgsProcessingProvider),
        *(QgsProcessingModelAlgorithm, QgsSettings),
    ):
        setattr(core, one.__name__, one)
    for widget in (QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory):
        setattr(gui, widget.__name__, widget)
    sys.modules.update({"qgis": qgis, "qgis.PyQt": pyqt, "qgis.core": core, "qgis.gui": gui})
    for name in ("QtCore", "QtGui", "QtWidgets", "QtXml"):
        module = ModuleType(f"qgis.PyQt.{name}")
        module.__dict__.update(vars(importlib.import_module(f"PyQt6.{name}")))
        sys.modules[f"qgis.PyQt.{name}"] = module
    for name in ("QAction", "QActionGroup", "QShortcut"):  # as QGIS does
        setattr(sys.modules["qgis.PyQt.QtWidgets"], name, getattr(QtGui, name))


def main() -> None:
    """Import the plugin, load it into a window, use its page, and unload it."""
    application = QtWidgets.QApplication([])
    install_stub()
    import qgis_plugin

    modules = [
        importlib.import_module(found.name).__name__
        for found in pkgutil.walk_packages(qgis_plugin.__path__, "qgis_plugin.")
    ]
    iface = Iface()
    plugin = qgis_plugin.classFactory(iface)
    plugin.initGui()
    facts: dict[str, object] = {
        "modules": modules,
        "algorithms": sorted(REGISTRY.provider.algorithms),
        "menu": [action.text() for action in iface.entries if action.text()],
        "messages": [
            [child.text() for child in message.findChildren(QtWidgets.QPushButton)]
            for message in iface.bar.shown
        ],
    }
    page = iface.pages[0].createWidget(None)  # type: ignore[attr-defined]
    page.show()
    page.interpreter.setFilePath("/no/such/python")
    facts["missing"] = page.origin.text()
    page.interpreter.setFilePath(os.environ["RM_GEO_TEST_WRONG_PYTHON"])
    page.button.click()
    while page.is_checking():
        application.processEvents()
        time.sleep(0.01)
    facts["checked"] = page.report.toPlainText()
    plugin.unload()
    facts["left"] = [len(iface.entries), len(iface.pages), REGISTRY.provider is not None]
    print(json.dumps(facts), flush=True)
    os._exit(0)  # without the end of Qt, whose order is not that of QGIS


if __name__ == "__main__":
    main()
