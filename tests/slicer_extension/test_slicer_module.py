"""The extension's files fit together, and its window is wired: with Qt and Slicer played by stand-ins.

This says nothing about how it looks or behaves in Slicer. What the logic does is tested on Slicer's own libraries in
test_slicer_scene.py.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "slicer"
MODULE = EXTENSION / "Trocar"
UI = ElementTree.parse(MODULE / "Resources" / "UI" / "Trocar.ui")


def widgets() -> dict[str, str]:
    """Name and class of every widget of the .ui file."""
    return {one.attrib["name"]: one.attrib["class"] for one in UI.iter("widget")}


def cmake_list(path: Path, name: str) -> list[str]:
    found = re.search(rf"{name}\s([^)]*)\)", path.read_text())
    assert found is not None
    return [word.replace("${MODULE_NAME}", "Trocar") for word in found[1].split()]


def test_cmake_names_every_file_and_no_other() -> None:
    scripts = set(cmake_list(MODULE / "CMakeLists.txt", r"set\(MODULE_PYTHON_SCRIPTS"))
    assert scripts == {"Trocar.py", *(f"TrocarLib/{one.name}" for one in (MODULE / "TrocarLib").glob("*.py"))}
    for resource in cmake_list(MODULE / "CMakeLists.txt", r"set\(MODULE_PYTHON_RESOURCES"):
        assert (MODULE / resource).is_file()
    client = {one for one in cmake_list(MODULE / "CMakeLists.txt", r"ctkMacroCompilePythonScript\(") if "/" in one}
    client = {one for one in client if one.endswith(".py")}
    there = {one.relative_to(ROOT / "src").as_posix() for part in ("client", "wire")
             for one in (ROOT / "src/trocar" / part).glob("*.py")}  # fmt: skip
    assert client == {"trocar/__init__.py", *there}


def test_the_extension_describes_itself() -> None:
    """The wizard refuses an extension without a home page."""
    text = (EXTENSION / "CMakeLists.txt").read_text()
    said = dict(re.findall(r'set\((EXTENSION_\w+) "(.*)"\)', text))
    assert all(said[f"EXTENSION_{name}"] for name in ("HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL"))
    assert said["EXTENSION_DEPENDS"] == "NA"
    assert text.index("find_package(Slicer") < text.index("add_subdirectory(Trocar)") < text.index("CPACK}")
    assert (EXTENSION / "LICENSE.txt").is_file()
    assert "never been opened in the Slicer application" in (EXTENSION / "README.md").read_text()


def test_the_window_uses_the_widgets_that_there_are() -> None:
    tree = ast.parse((MODULE / "Trocar.py").read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self.ui", "boxes")
    }
    assert used <= set(widgets())
    pressed = {name for name, kind in widgets().items() if kind == "QPushButton"}
    assert pressed <= used
    scene_aware = {name for name, kind in widgets().items() if kind.startswith("qMRMLNodeComboBox")}
    assert {one.findtext("receiver") for one in UI.iter("connection")} == scene_aware
    known = {one.findtext("class") for one in UI.iter("customwidget")}
    assert {kind for kind in widgets().values() if not kind.startswith("Q")} == known


def test_settings_of_the_scene_are_those_of_the_window() -> None:
    tree = ast.parse((MODULE / "Trocar.py").read_text())
    (node,) = [one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == "TrocarParameterNode"]
    fields = {one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)}
    bound = {one.findtext("string") for one in UI.iter("property") if one.attrib["name"] == "SlicerParameterName"}
    assert bound == fields
    assert "token" not in fields


def test_the_library_needs_no_torch_and_little_of_trocar() -> None:
    for path in (MODULE / "TrocarLib").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in {*sys.stdlib_module_names, "numpy", "slicer", "vtk", "trocar", "TrocarLib"}
                assert not name.startswith("trocar") or name in ("trocar.client", "trocar.wire"), path.name


def test_windows_that_are_offered_are_known() -> None:
    from trocar.formats.intensity import preparation

    for box in UI.iter("widget"):
        if box.attrib["name"] == "windowBox":
            for item in box.iter("item"):
                preparation(str(item.findtext("property/string")))


class Button:
    """A widget that remembers what is connected to it."""

    def __init__(self) -> None:
        self.slots: dict[str, Any] = {}
        self.enabled, self.visible, self.checked, self.text, self.value, self.maximum = True, True, False, "", 0, 0
        self.currentIndex, self.currentText = 0, "axial"

    def connect(self, signal: str, slot: Any) -> None:
        self.slots[signal] = slot

    def layout(self) -> Any:
        return MagicMock()

    def setMRMLScene(self, scene: Any) -> None:
        self.scene = scene


class ModuleBase:
    def __init__(self, parent: Any = None) -> None:
        self.parent, self.layout = parent or MagicMock(), MagicMock()

    def setup(self) -> None:
        pass

    def resourcePath(self, path: str) -> str:
        assert (MODULE / "Resources" / path).is_file()
        return path

    def getParameterNode(self) -> Any:
        return MagicMock()


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """TrocarWidget after setup, in an application of stand-ins."""
    slicer: Any = ModuleType("slicer")
    ui = SimpleNamespace(**{name: Button() for name in widgets()})
    slicer.util = ModuleType("slicer.util")
    slicer.util.loadUI = lambda path: Button()
    slicer.util.childWidgetVariables = lambda widget: ui
    slicer.util.errorDisplay = MagicMock()
    slicer.util.VTKObservationMixin = type(
        "VTKObservationMixin", (), {"addObserver": MagicMock(), "removeObservers": MagicMock()}
    )
    slicer.mrmlScene, slicer.app = MagicMock(), MagicMock()
    slicer.qMRMLSegmentEditorWidget = MagicMock
    for name in ("MarkupsFiducial", "MarkupsROI", "ScalarVolume", "Segmentation"):
        setattr(slicer, f"vtkMRML{name}Node", type(f"vtkMRML{name}Node", (), {}))
    slicer.i18n = SimpleNamespace(tr=str, translate=lambda context, text: text)
    slicer.parameterNodeWrapper = SimpleNamespace(parameterNodeWrapper=lambda kind: lambda node: node)
    bases = {f"ScriptedLoadableModule{part}": type(part, (ModuleBase,), {}) for part in ("", "Logic", "Test", "Widget")}
    slicer.ScriptedLoadableModule = SimpleNamespace(**bases)
    clock = MagicMock(**{"elapsed.return_value": 1000})
    qt = SimpleNamespace(QTimer=MagicMock, QElapsedTimer=lambda: clock)
    stubs = {"slicer": slicer, "qt": qt, "vtk": MagicMock()}
    parts = ("util", "i18n", "parameterNodeWrapper", "ScriptedLoadableModule")
    stubs |= {f"slicer.{part}": getattr(slicer, part) for part in parts}
    for name, stub in stubs.items():
        monkeypatch.setitem(sys.modules, name, stub)
    for name in [one for one in sys.modules if one.split(".")[0] in ("Trocar", "TrocarLib")]:
        monkeypatch.delitem(sys.modules, name)
    module = importlib.import_module("Trocar")
    made = module.TrocarWidget()
    made.setup()
    yield made
    for name in [one for one in sys.modules if one.split(".")[0] in ("Trocar", "TrocarLib")]:
        del sys.modules[name]


def press(window: Any, button: str) -> None:
    getattr(window.ui, button).slots["clicked()"]()


def until_idle(window: Any) -> None:
    while window.logic.background.busy:
        window.onTimer()
        time.sleep(0.005)


def test_every_button_does_something(window: Any) -> None:
    for name, kind in widgets().items():
        if kind == "QPushButton":
            assert callable(getattr(window.ui, name).slots["clicked()"]), name
    assert window.ui.openButton.enabled
    assert not window.ui.promptButton.enabled
    assert not window.ui.cancelButton.enabled


def test_without_a_volume_the_window_says_so(window: Any) -> None:
    for button in ("promptButton", "trackButton", "undoButton", "redoButton", "startHereButton"):
        press(window, button)
        assert "no volume is open" in window.ui.statusLabel.text


def test_work_is_done_beside_the_window_and_told_to_it(window: Any) -> None:
    annotation = window.logic.annotation = MagicMock()

    def work(tell: Any, stop: Any) -> bool:
        tell("progress", ("tracking", 3, 7))
        tell("masks", "some")
        while not stop:
            time.sleep(0.002)
        return False

    annotation.tracking.return_value = work
    window.ui.directionBox.currentText, window.ui.stopBox.value = "both", 9
    press(window, "trackButton")
    annotation.tracking.assert_called_once_with("both", 0, 9)
    assert window.ui.cancelButton.enabled
    assert not window.ui.trackButton.enabled
    press(window, "undoButton")  # what is under way is not disturbed
    assert "under way" in window.ui.statusLabel.text
    press(window, "cancelButton")
    until_idle(window)
    annotation.take.assert_called_once_with("masks", "some")
    annotation.flush.assert_called()
    assert (window.ui.progressBar.value, window.ui.progressBar.maximum) == (3, 7)
    assert window.ui.statusLabel.text.startswith("Cancelled")
    assert window.ui.trackButton.enabled


def test_what_fails_leaves_the_window_free(window: Any) -> None:
    window.logic.annotation = MagicMock()

    def broken(tell: Any, stop: Any) -> None:
        raise ValueError("the server is gone: start it")

    window.logic.annotation.flipping.return_value = broken
    press(window, "redoButton")
    until_idle(window)
    assert window.ui.statusLabel.text == "the server is gone: start it"
    assert window.ui.redoButton.enabled
    assert not window.ui.progressBar.visible
