"""The module as Slicer loads it: the window, and nothing that could be done without one (that is in TrocarLib)."""

import secrets

import qt
import slicer
import vtk
from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin
from TrocarLib.annotation import Annotation, opening
from TrocarLib.background import Background
from TrocarLib.remote import Server

POLL_MS = 50
SHOW_EVERY_MS = 500
MASK = 1  # row of initialBox
VIEWS = {"axial": "Red", "coronal": "Green", "sagittal": "Yellow"}
NOT_OPEN = _("no volume is open: choose one and press Open")


class Trocar(ScriptedLoadableModule):
    """What the list of modules shows."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Trocar")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations", "SegmentEditor", "Markups"]
        self.parent.contributors = ["the trocar contributors"]
        self.parent.helpText = _(
            "Prompt a structure on one slice with points, a box or a painted mask, and track it through the volume. "
            "The work is done by a server: start it with <tt>trocar serve</tt> on this machine or another."
        )
        self.parent.acknowledgementText = _("Tracking follows SAM 2, with memory policies from the literature.")


@parameterNodeWrapper
class TrocarParameterNode:
    """What is saved with the scene. The token is not: it stays in the window."""

    volume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    onPoints: vtkMRMLMarkupsFiducialNode
    besidePoints: vtkMRMLMarkupsFiducialNode
    roi: vtkMRMLMarkupsROINode
    address: str = "http://127.0.0.1:8017"


class TrocarWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The window: buttons start work in a thread, and a timer brings what it tells into the scene."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._then = None
        self._sinceShown = qt.QElapsedTimer()

    def setup(self):
        """Build the window, once."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/Trocar.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = TrocarLogic()
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMaximumNumberOfUndoStates(10)
        self.ui.editorPlace.layout().addWidget(self.editor)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        for button, slot in (
            (self.ui.openButton, self.onOpen),
            (self.ui.promptButton, self.onPrompt),
            (self.ui.trackButton, self.onTrack),
            (self.ui.cancelButton, self.onCancel),
            (self.ui.undoButton, self.onUndo),
            (self.ui.redoButton, self.onRedo),
            (self.ui.maskHereButton, lambda: self.onHere(self.ui.maskBox)),
            (self.ui.startHereButton, lambda: self.onHere(self.ui.startBox)),
            (self.ui.stopHereButton, lambda: self.onHere(self.ui.stopBox)),
        ):
            button.connect("clicked()", slot)
        self.timer = qt.QTimer()
        self.timer.setInterval(POLL_MS)
        self.timer.connect("timeout()", self.onTimer)
        self.initializeParameterNode()
        self.showState()

    def cleanup(self):
        """Slicer ends, or the module is loaded anew."""
        self.timer.stop()
        self.logic.background.cancel()
        self.removeObservers()

    def enter(self):
        """The module is shown."""
        self.initializeParameterNode()
        self.editor.setupViewObservations()

    def exit(self):
        """Another module is shown."""
        self.editor.setActiveEffect(None)
        self.editor.removeViewObservations()
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self._parameterNodeGuiTag = None

    def onSceneStartClose(self, caller, event):
        """Nodes are about to go."""
        self.logic.background.cancel()
        self.logic.annotation = None
        self.editor.setSegmentationNode(None)
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        """The scene is empty."""
        if self.parent.isEntered:
            self.initializeParameterNode()
        self.showState()

    def initializeParameterNode(self):
        """Settings of the scene; where nothing is chosen yet, what there is."""
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.volume:
            found = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if found:
                self._parameterNode.volume = found
        editorNode = slicer.mrmlScene.GetSingletonNode("TrocarSegmentEditor", "vtkMRMLSegmentEditorNode")
        if not editorNode:
            editorNode = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            editorNode.UnRegister(None)
            editorNode.SetSingletonTag("TrocarSegmentEditor")
            editorNode = slicer.mrmlScene.AddNode(editorNode)
        self.editor.setMRMLSegmentEditorNode(editorNode)
        self.editor.setMRMLScene(slicer.mrmlScene)

    def setParameterNode(self, node):
        """Connect the window to the settings of a scene."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
        self._parameterNode = node
        if node:
            self._parameterNodeGuiTag = node.connectGui(self.ui)

    def onOpen(self):
        """Send the volume, or find it at the server."""
        settings = self._parameterNode
        server = Server(settings.address, self.ui.tokenEdit.text, self.logic.client)

        def start():
            volume = settings.volume
            work = opening(server, volume, self.ui.planeBox.currentText, self.ui.windowBox.currentText)
            if not settings.segmentation:
                name = f"{volume.GetName()} segmentation"
                made = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
                made.CreateDefaultDisplayNodes()
                made.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
                settings.segmentation = made
            return work

        def then(result):
            self.logic.annotation = Annotation(settings.volume, settings.segmentation, result[0])
            self.logic.annotation.adopt(*result[1:])
            self.editor.setSegmentationNode(settings.segmentation)
            self.editor.setSourceVolumeNode(settings.volume)
            last = self.logic.annotation.slices - 1
            for box, value in ((self.ui.maskBox, 0), (self.ui.startBox, 0), (self.ui.stopBox, last)):
                box.maximum = last
                box.value = value
            self.say(_("Ready: select a segment, place points or a box, and prompt."))

        self.begin(start, then, _("Opening"), opens=True)

    def onPrompt(self):
        """Prompt the selected segment."""
        settings = self._parameterNode

        def start():
            segment = self.editor.currentSegmentID()
            if not segment:
                raise ValueError(_("no segment is selected: add one in the editor below and select it"))
            if self.ui.initialBox.currentIndex == MASK:
                return self.logic.annotation.prompting_mask(segment, self.ui.maskBox.value)
            roi = settings.roi if self.ui.roiCheck.checked else None
            return self.logic.annotation.prompting(segment, settings.onPoints, settings.besidePoints, roi)

        def then(result):
            self.ui.roiCheck.checked = False  # a box is sent once
            self.say(_("Answered: correct it with more points, or track."))

        self.begin(start, then, _("Prompting"))

    def onTrack(self):
        """Track all objects through the chosen slices."""
        boxes = self.ui
        self.begin(
            lambda: self.logic.annotation.tracking(
                boxes.directionBox.currentText, boxes.startBox.value, boxes.stopBox.value
            ),
            lambda finished: self.say(_("Tracked.") if finished else _("Cancelled; what was made stays.")),
            _("Tracking"),
        )

    def onUndo(self):
        """Take the last prompt back."""
        self.begin(lambda: self.logic.annotation.flipping(True), lambda result: self.say(_("Undone.")), _("Undoing"))

    def onRedo(self):
        """Bring it again."""
        self.begin(lambda: self.logic.annotation.flipping(False), lambda result: self.say(_("Redone.")), _("Redoing"))

    def onCancel(self):
        """End what is under way."""
        self.logic.background.cancel()
        self.say(_("Cancelling"))

    def onHere(self, box):
        """Take the slice that the view of the tracked plane shows."""
        if self.logic.annotation is None:
            self.fail(ValueError(NOT_OPEN))
            return
        view = VIEWS[self.logic.annotation.plane]
        matrix = slicer.app.layoutManager().sliceWidget(view).mrmlSliceNode().GetSliceToRAS()
        try:
            box.value = self.logic.annotation.slice_at([matrix.GetElement(row, 3) for row in range(3)])
        except ValueError as error:
            self.fail(error)

    def begin(self, start, then, what, opens=False):
        """Start work in the thread; `then` gets its result, in this one."""
        try:
            if self.logic.annotation is None and not opens:
                raise ValueError(NOT_OPEN)
            self.logic.background.start(start())
        except Exception as error:
            self.fail(error)
            return
        self._then = then
        self._sinceShown.start()
        self.timer.start()
        self.say(what)
        self.showState()

    def onTimer(self):
        """Bring what the thread told into the scene. Never waits."""
        for kind, value in self.logic.background.poll():
            try:
                if kind == "progress":
                    what, done, total = value
                    self.ui.progressBar.maximum = total
                    self.ui.progressBar.value = done
                    self.say(f"{what}: {done} / {total}")
                elif kind == "failed":
                    self.fail(value)
                elif kind == "done":
                    if self.logic.annotation:
                        self.logic.annotation.flush()
                    self._then(value)
                elif self.logic.annotation:
                    self.logic.annotation.take(kind, value)
            except Exception as error:  # the timer must go on, and the window be free again
                self.fail(error)
        if not self.logic.background.busy:
            self.timer.stop()
            self.showState()
        elif self._sinceShown.elapsed() > SHOW_EVERY_MS and self.logic.annotation:
            self.logic.annotation.flush()
            self._sinceShown.start()

    def fail(self, error):
        """Say why something did not work."""
        if self.logic.annotation:
            self.logic.annotation.flush()
        self.say(str(error))
        slicer.util.errorDisplay(str(error))

    def say(self, text):
        """A line under the buttons."""
        self.ui.statusLabel.text = text

    def showState(self):
        """Which buttons can be pressed."""
        busy, ready = self.logic.background.busy, self.logic.annotation is not None
        self.ui.openButton.enabled = not busy
        for button in (self.ui.promptButton, self.ui.trackButton, self.ui.undoButton, self.ui.redoButton):
            button.enabled = ready and not busy
        self.ui.cancelButton.enabled = busy
        self.ui.progressBar.visible = busy


class TrocarLogic(ScriptedLoadableModuleLogic):
    """What lives as long as the module: the thread's work, and the volume that is open."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.background = Background()
        self.annotation = None
        self.client = secrets.token_hex(12)

    def getParameterNode(self):
        """The settings of the scene."""
        return TrocarParameterNode(super().getParameterNode())


class TrocarTest(ScriptedLoadableModuleTest):
    """Run by Slicer itself. What needs no window is tested elsewhere, see the extension's README."""

    def setUp(self):
        """An empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """All tests."""
        self.setUp()
        self.test_points_become_prompts()

    def test_points_become_prompts(self):
        """Without a server: places in a volume of this application's own scene are found again."""
        import numpy as np
        from TrocarLib.grid import Grid
        from TrocarLib.scene import voxels_of

        volume = slicer.util.addVolumeFromArray(np.zeros((5, 6, 7), np.int16))
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        to_ras = slicer.util.arrayFromVTKMatrix(matrix)
        voxels = voxels_of(volume)
        grid = Grid(voxels.ijk_to_ras, voxels.values.shape, to_ras[:, [2, 1, 0, 3]], (5, 6, 7))
        assert grid.place((to_ras @ (3, 2, 4, 1))[:3]) == (4, 3.5, 2.5)
