"""Message bar of a QGIS in which no interpreter with rm_geo is set yet."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from qgis.PyQt.QtWidgets import QPushButton

from .interpreter import NoInterpreterError
from .interpreter_search import find_interpreters
from .options_page import PAGE
from .settings import current_interpreter, set_interpreter

_TITLE = "Radio maps (rm_geo)"


def tell_if_no_interpreter(iface: Any) -> Any:
    """Ask for the interpreter in the message bar, if it is not known, and offer to find it.

    Parameters
    ----------
    iface : QgisInterface
        Interface of QGIS.

    Returns
    -------
    QWidget or None
        The message; None if an interpreter is set.
    """
    try:
        current_interpreter()
    except NoInterpreterError as error:
        text = str(error).split("\n", 1)[0]
    else:
        return None
    bar = iface.messageBar()
    message = bar.createMessage(_TITLE, f"{text} Radio maps need one.")
    for label, act in (
        ("Find it", partial(_find, iface, message)),
        ("Settings…", partial(iface.showOptionsDialog, iface.mainWindow(), PAGE)),
    ):
        button = QPushButton(label, message)
        button.setObjectName(f"rm_geo_{label.split()[0].lower().rstrip('…')}")
        button.clicked.connect(lambda _checked=False, act=act: act())
        message.layout().addWidget(button)
    bar.pushWidget(message)
    return message


def _find(iface: Any, message: Any) -> None:
    """Search the usual places, set what is found, and say so."""
    found = find_interpreters(Path.home(), os.environ)
    bar = iface.messageBar()
    bar.popWidget(message)
    if not found:
        bar.pushMessage(
            _TITLE,
            "No environment with rm_geo was found in the usual places. Make one (python -m venv), "
            "install rm_geo there with pip, by its name or by the path of its folder or wheel, and "
            "run 'rm-geo qgis install'; or choose its Python in the settings.",
        )
        return
    set_interpreter(found[0])
    more = f" ({len(found) - 1} more: see the settings)" if len(found) > 1 else ""
    bar.pushMessage(_TITLE, f"rm_geo was found and is used: {found[0]}{more}.")
