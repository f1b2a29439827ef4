"""The nodes of a motion correction: corrected images, grid transforms, displacement map, R2 before."""

import dataclasses

import numpy as np
import pytest
import slicer
from irw_phantom import OBLIQUE, SHMOLLI_TIMES
from moving_phantom import ENTRY, install_known_motion, make_moving_phantom
from scipy.ndimage import gaussian_filter, map_coordinates

from CMRLib.batch.step import StepResult
from CMRLib.errors import InputError
from CMRLib.scene import acquisitions
from CMRLib.scene.gridtransforms import gridTransform
from CMRLib.scene.studies import saveStudyScene
from CMRLib.scene.volumes import ijkToWorld, setVolumeArray, volumeArray, volumeGeometry, worldToIJK
from CMRLib.study.series import Series, SeriesImages
from CMRT1MappingLib.fit.reconstruction import reconstruct
from CMRT1MappingLib.mapping import T1Result
from CMRT1MappingLib.motion.correction import Correction, correct_and_reconstruct
from CMRT1MappingLib.motion.estimation import apply_motion
from CMRT1MappingLib.scene import motion, motionoutcome, t1maps
from CMRT1MappingLib.scene.t1reconstruction import pixelCurve, reconstructT1, undoCorrection
from CMRT1MappingLib.step import T1OfSeries

pytestmark = pytest.mark.usefixtures("scene", "remembered_fits")

KINDS = ("sequence", "volume")


@pytest.fixture(scope="module")
def moving():
    return make_moving_phantom()


@pytest.fixture(autouse=True)
def spacings(monkeypatch, moving):
    """The network knows the motion of the phantom; notes the pixel spacings that it is told."""
    told = []
    install_known_motion(monkeypatch, moving.displacement, told)
    return told


def load(moving, kind="sequence", phase=True, name="rest mid"):
    if kind == "sequence":
        marks = {acquisitions.SCHEME: "shmolli", acquisitions.STATE: "rest"}
        shown = moving.phase if phase else None
        return acquisitions.createAcquisition(name, moving.images, SHMOLLI_TIMES, OBLIQUE, shown, marks)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    setVolumeArray(volume, moving.images, OBLIQUE)
    acquisitions.setInversionTimes(volume, SHMOLLI_TIMES)
    if phase:
        phaseVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{name} phase")
        setVolumeArray(phaseVolume, moving.phase, OBLIQUE)
        volume.SetNodeReferenceID(acquisitions.PHASE, phaseVolume.GetID())
    return volume


def corrected(source, **arguments):
    return reconstructT1(source, phaseNode=acquisitions.phaseOf(source), device="cpu", **arguments)


def choose(source, frame):
    browser = acquisitions.browserOf(source)
    browser.SetSelectedItemNumber(frame)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)


def shift(transformNode, source, row, column, frame=0):
    """Where a grid transform finds the value of a pixel, as (row, column) shift in pixels and shift along the slice."""
    volume = acquisitions.shownVolume(source)
    slice_ = frame if volume is source else 0
    place = ijkToWorld(volume, np.array([[column, row, slice_]]))[0]
    found = np.array(transformNode.GetTransformFromParent().TransformPoint(place))
    columns, rows, slices = worldToIJK(volume, found[None])[0] - (column, row, slice_)
    return rows, columns, slices


# What is stored


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phase", [True, False])
def test_corrected_images_are_an_acquisition_like_the_source(moving, kind, phase):
    source = load(moving, kind, phase)
    corrected(source)
    truth = correct_and_reconstruct(moving.images, SHMOLLI_TIMES, moving.phase if phase else None)
    images = motion.findCorrection(source)[motion.IMAGES]
    array, geometry = acquisitions.acquisitionImages(images)
    assert np.array_equal(array, truth.images) and geometry.is_close(OBLIQUE, 1e-4)
    assert images.GetClassName() == source.GetClassName() and images.GetName() == "rest mid corrected"
    assert acquisitions.inversionTimes(images) == SHMOLLI_TIMES
    assert images.GetAttribute(acquisitions.SCHEME) == "shmolli"
    assert images.GetAttribute(acquisitions.STATE) == source.GetAttribute(acquisitions.STATE)
    if phase:
        assert np.array_equal(acquisitions.acquisitionImages(acquisitions.phaseOf(images))[0], truth.phase)
    else:
        assert acquisitions.phaseOf(images) is None and motion.IMAGES_PHASE not in motion.findCorrection(source)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_those_of_the_corrected_images(moving, kind):
    source = load(moving, kind)
    nodes = corrected(source)
    truth = correct_and_reconstruct(moving.images, SHMOLLI_TIMES, moving.phase)
    assert truth.kept
    for role, node in nodes.items():
        assert np.array_equal(volumeArray(node)[0], getattr(truth.maps, role).astype(np.float32)), role
        assert node.GetNodeReference(t1maps.FITTED_IMAGES) is motion.findCorrection(source)[motion.IMAGES]
    before = motion.findCorrection(source)[motion.R2_BEFORE]
    assert np.array_equal(volumeArray(before)[0], truth.original.r2)
    assert before.GetDisplayNode().GetColorNode() is nodes["r2"].GetDisplayNode().GetColorNode()


def test_provenance_says_what_was_done(moving, spacings):
    nodes = corrected(load(moving))
    truth = correct_and_reconstruct(moving.images, SHMOLLI_TIMES, moving.phase)
    assert spacings[0] == (OBLIQUE.spacing[1], OBLIQUE.spacing[0]), "of rows, of columns"
    parts = motion.findCorrection(nodes["t1"].GetNodeReference("CMR.Source"))
    for node in (*nodes.values(), *parts.values()):
        assert node.GetAttribute("CMR.Model") == ENTRY.id and node.GetAttribute("CMR.ModelSHA256") == ENTRY.sha256
        assert node.GetAttribute(motionoutcome.OUTCOME) == "corrected" and node.GetAttribute("CMR.Device") == "cpu"
        assert float(node.GetAttribute("CMR.MotionPixels")) == pytest.approx(truth.motion_px, abs=1e-3)
        assert float(node.GetAttribute("CMR.R2Before")) == pytest.approx(truth.r2_before, abs=1e-4)
        assert float(node.GetAttribute("CMR.R2After")) == pytest.approx(truth.r2_after, abs=1e-4)
    steps = moving.displacement[:, :, 0, 0] * (OBLIQUE.spacing[1], OBLIQUE.spacing[0])
    assert float(nodes["t1"].GetAttribute("CMR.MotionMm")) == pytest.approx(np.hypot(*steps.T).mean(), rel=1e-3)
    assert nodes["t1"].GetAttribute("CMR.MotionRegion") == "heart"


def test_displacement_map_is_the_mean_length_in_millimetres(moving):
    source = load(moving)
    corrected(source)
    node = motion.findCorrection(source)[motion.LENGTH]
    steps = moving.displacement[:, :, 0, 0] * (OBLIQUE.spacing[1], OBLIQUE.spacing[0])
    assert volumeArray(node) == pytest.approx(np.full((1, 40, 60), np.hypot(*steps.T).mean()), rel=1e-5)
    assert volumeGeometry(node).is_close(OBLIQUE, 1e-4)
    assert node.GetVoxelValueUnits().GetCodeValue() == "mm"
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(node)
    assert legend.GetTitleText() == "Displacement [mm]"


def test_parts_lie_beside_the_source_and_are_browsed_with_it(moving):
    source = load(moving)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.CreateItem(study, acquisitions.shownVolume(source))
    corrected(source)
    images, truth = (
        motion.shownNode(source, motion.IMAGES),
        correct_and_reconstruct(moving.images, SHMOLLI_TIMES, moving.phase),
    )
    for frame in (0, 4, 6):
        choose(source, frame)
        assert np.array_equal(volumeArray(images)[0], truth.images[frame])
        assert np.array_equal(volumeArray(acquisitions.shownVolume(source))[0], moving.images[frame])
        assert images.GetAttribute("CMR.Role") == motion.IMAGES, "also after browsing"
    for role in motion.NAMES:
        node = motion.shownNode(source, role)
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study, role
    assert images.GetName() == "rest mid corrected"


# The grid transform


def test_grid_transform_takes_a_pixel_to_where_its_value_is_found():
    """One pixel of a grid on oblique axes, worked out by hand."""
    field = np.zeros((1, 2, 4, 5), np.float32)
    field[0, :, 2, 3] = 2.0, -0.5
    vectors = OBLIQUE.displacement_in_lps(field) * np.array([-1, -1, 1], np.float32)
    transform = gridTransform(vectors, OBLIQUE)
    # Rows run along the second column of the direction matrix, 1.25 mm apart; columns along the first, 1.5 mm. In LPS,
    # 2 rows down are 2.5 (0.36, -0.48, -0.8), half a column back -0.75 (0.8, 0.6, 0).
    byHand = np.array([0.9 - 0.6, -1.2 - 0.45, -2.0 - 0.0])
    here = np.array(OBLIQUE.ijk_to_lps() @ [3, 2, 0, 1])[:3]
    toRAS = np.array([-1, -1, 1])
    assert np.array(transform.TransformPoint(here * toRAS)) == pytest.approx((here + byHand) * toRAS, abs=1e-5)
    still = np.array(OBLIQUE.ijk_to_lps() @ [1, 1, 0, 1])[:3] * toRAS
    assert np.array(transform.TransformPoint(still)) == pytest.approx(still, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_transform_of_each_image_is_its_own_displacement(moving, kind):
    source = load(moving, kind)
    corrected(source)
    node = motion.shownNode(source, motion.DISPLACEMENT)
    assert node.IsA("vtkMRMLGridTransformNode")
    for frame in (0, 3, 6):
        if kind == "sequence":
            choose(source, frame)
        rows, columns, slices = shift(node, source, 17, 23, frame)
        assert (rows, columns) == pytest.approx(moving.displacement[frame, :, 17, 23], abs=1e-4)
        assert slices == pytest.approx(0.0, abs=1e-5), "motion in the plane"


def wavy(shape, frames, seed=3):
    """A smooth displacement without folds, of some pixels, zero on average over the frames."""
    rng = np.random.default_rng(seed)
    field = np.array([[gaussian_filter(rng.normal(size=shape), 8) for _ in range(2)] for _ in range(frames)])
    field -= field.mean(axis=0)
    return (field * (2.5 / np.abs(field).max())).astype(np.float32)


@pytest.mark.parametrize("frame", [0, 5])
def test_hardening_the_transform_on_an_image_gives_the_corrected_one(moving, monkeypatch, frame):
    """In Slicer's own resampling, which lays out a grid of its own on the same plane."""
    smooth = np.stack([gaussian_filter(image, 2) for image in moving.still.images])
    field = wavy(smooth.shape[1:], len(smooth))
    install_known_motion(monkeypatch, field)
    answer = correct_and_reconstruct(smooth, SHMOLLI_TIMES)
    kept = dataclasses.replace(answer, images=apply_motion(smooth, field)[0], outcome=Correction.KEPT)
    source = acquisitions.createAcquisition("smooth", smooth, SHMOLLI_TIMES, OBLIQUE)
    motion.storeCorrection(source, kept, OBLIQUE, {})
    choose(source, frame)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Copy")
    setVolumeArray(volume, smooth[frame], OBLIQUE)
    volume.SetAndObserveTransformNodeID(motion.shownNode(source, motion.DISPLACEMENT).GetID())
    assert volume.HardenTransform()

    hardened = volumeArray(volume)[0]
    grid = np.stack(np.meshgrid(*map(np.arange, hardened.shape[::-1]), [0]), axis=-1).reshape(-1, 3)
    column, row, slice_ = worldToIJK(acquisitions.shownVolume(source), ijkToWorld(volume, grid)).T
    assert np.abs(slice_).max() < 1e-6
    rows, columns = (map_coordinates(part, [row, column], order=1) for part in field[frame])
    found = map_coordinates(smooth[frame], [row + rows, column + columns], order=1)
    images = acquisitions.acquisitionImages(motion.findCorrection(source)[motion.IMAGES])[0]
    aligned = map_coordinates(images[frame], [row, column], order=1)
    acquired = map_coordinates(smooth[frame], [row, column], order=1)
    inside = (row > 4) & (row < 35) & (column > 4) & (column < 55)

    def difference(image):
        return np.abs(hardened.ravel() - image)[inside] / smooth[frame].max()

    assert difference(found).max() < 1e-4, "the same displacement"
    assert difference(aligned).max() < 0.03, "the same image, but for the interpolation"
    assert difference(acquired).mean() > 5 * difference(aligned).mean(), "and it was moved"


def test_looking_through_the_displacement_does_not_move_the_results(moving):
    """Its displacement applied to the image on view is no place in the world."""
    source = load(moving)
    place = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shown = acquisitions.shownVolume(source)
    shown.SetAndObserveTransformNodeID(place.GetID())
    corrected(source)
    displacement = motion.shownNode(source, motion.DISPLACEMENT)
    assert displacement.GetTransformNodeID() == place.GetID()
    shown.SetAndObserveTransformNodeID(displacement.GetID())
    nodes = corrected(source)
    assert {node.GetTransformNodeID() for node in nodes.values()} == {place.GetID()}
    assert displacement.GetTransformNodeID() == place.GetID()
    undoCorrection(source)
    assert shown.GetTransformNodeID() == place.GetID()


# Again, undone, not kept


@pytest.mark.parametrize("kind", KINDS)
def test_applying_again_updates_the_same_nodes(moving, scene, monkeypatch, kind):
    source = load(moving, kind)
    corrected(source)
    first, count = motion.findCorrection(source), scene.GetNumberOfNodes()
    install_known_motion(monkeypatch, moving.displacement * 0.95)
    corrected(source)
    assert motion.findCorrection(source) == first and scene.GetNumberOfNodes() == count
    node = motion.shownNode(source, motion.DISPLACEMENT)
    assert shift(node, source, 9, 9)[:2] == pytest.approx(0.95 * moving.displacement[0, :, 9, 9], abs=1e-4)
    assert len(acquisitions.acquisitionImages(first[motion.IMAGES])[0]) == 7


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["undo", "without"])
def test_without_correction_the_same_nodes_hold_the_maps_of_the_images_as_acquired(moving, scene, kind, how):
    source = load(moving, kind)
    untouched = scene.GetNumberOfNodes()
    reconstructT1(source, phaseNode=acquisitions.phaseOf(source), correctMotion=False)
    without, tables = scene.GetNumberOfNodes(), scene.GetNumberOfNodesByClass("vtkMRMLColorNode")
    first = corrected(source)
    motion.showDisplacement(source, True)
    colorTables = scene.GetNumberOfNodesByClass("vtkMRMLColorNode") - tables  # which may be in use elsewhere by now
    assert scene.GetNumberOfNodes() > without > untouched
    second = undoCorrection(source) if how == "undo" else corrected(source, correctMotion=False)
    original = reconstruct(moving.images, SHMOLLI_TIMES, moving.phase)
    for role, node in second.items():
        assert node is first[role]
        assert np.array_equal(volumeArray(node)[0], getattr(original, role).astype(np.float32)), role
        assert node.GetAttribute(motionoutcome.OUTCOME) == "off" and node.GetAttribute("CMR.Model") is None
        assert node.GetNodeReference(t1maps.FITTED_IMAGES) is None
    assert motion.findCorrection(source) == {}
    assert scene.GetNumberOfNodes() == without + colorTables, "displays and storage go with their nodes"
    leftOver = [node for role in motion.NAMES.values() for node in slicer.util.getNodes(f"rest mid {role}*").values()]
    assert leftOver == []
    if kind == "sequence":
        browser = acquisitions.browserOf(source)
        assert browser.GetNumberOfSynchronizedSequenceNodes(True) == 2, "the images and their phase"


def test_undo_keeps_the_settings_of_the_map(moving):
    source = load(moving)
    times = tuple(time + 10 for time in SHMOLLI_TIMES)
    corrected(source, inversionTimesMs=times, scheme="molli")
    acquisitions.setInversionTimes(source, [time + 500 for time in SHMOLLI_TIMES])
    nodes = undoCorrection(source)
    expected = reconstruct(moving.images, times, moving.phase, scheme="molli")
    assert np.array_equal(volumeArray(nodes["t1"])[0], expected.t1)
    assert nodes["t1"].GetNodeReference(acquisitions.PHASE) is acquisitions.phaseOf(source)


def test_undo_needs_a_map(moving):
    with pytest.raises(InputError, match="no T1 map of rest mid"):
        undoCorrection(load(moving))


def test_a_correction_that_does_not_help_leaves_the_images_as_acquired(moving, monkeypatch):
    source = load(moving)
    corrected(source)
    install_known_motion(monkeypatch, -moving.displacement)
    nodes = corrected(source)
    assert nodes["t1"].GetAttribute(motionoutcome.OUTCOME) == Correction.NO_BETTER.value
    original = reconstruct(moving.images, SHMOLLI_TIMES, moving.phase)
    assert np.array_equal(volumeArray(nodes["t1"])[0], original.t1)
    assert motion.findCorrection(source) == {}, "that of the earlier run is gone"


def test_too_few_images_say_why(moving):
    few = dataclasses.replace(moving, images=moving.images[:4], phase=moving.phase[:4])
    source = acquisitions.createAcquisition("few", few.images, SHMOLLI_TIMES[:4], OBLIQUE)
    nodes = reconstructT1(source, scheme="molli")
    assert nodes["t1"].GetAttribute(motionoutcome.OUTCOME) == Correction.NOT_POSSIBLE.value
    assert "5 to 11 images, not 4" in nodes["t1"].GetAttribute("CMR.MotionObstacle")


# The curve, the sources, saving


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phase", [True, False])
def test_curve_is_fitted_to_the_corrected_images(moving, kind, phase):
    source = load(moving, kind, phase)
    nodes = corrected(source)
    for row, column in moving.still.centers:
        curve = pixelCurve(source, row + 6, column)
        assert curve.t1 == pytest.approx(volumeArray(nodes["t1"])[0, row + 6, column], abs=0.01)
        assert curve.r2 == pytest.approx(volumeArray(nodes["r2"])[0, row + 6, column], abs=1e-4)


def test_curve_of_removed_images_is_refused(moving):
    source = load(moving)
    corrected(source)
    slicer.mrmlScene.RemoveNode(motion.findCorrection(source)[motion.IMAGES])
    with pytest.raises(InputError, match="corrected images of rest mid were removed; click Apply"):
        pixelCurve(source, 10, 10)


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_stands_for_its_acquisition(moving, kind):
    source = load(moving, kind)
    corrected(source)
    for role, node in motion.findCorrection(source).items():
        assert motion.sourceOf(node) is source and motion.sourceOf(motion.shownNode(source, role)) is source
    assert motion.sourceOf(source) is source and motion.sourceOf(acquisitions.shownVolume(source)) is source
    phase = acquisitions.phaseOf(source)
    assert motion.sourceOf(phase) is phase


def test_a_part_of_the_correction_cannot_be_overwritten_by_a_map(moving):
    source = load(moving)
    corrected(source)
    for node in (acquisitions.shownVolume(source), motion.shownNode(source, motion.IMAGES)):
        with pytest.raises(InputError, match="shows an image of a sequence; choose another"):
            corrected(source, outputs={"t1": node})


def test_a_sequence_without_browser_gets_one(moving):
    source = load(moving)
    slicer.mrmlScene.RemoveNode(acquisitions.browserOf(source))
    corrected(source)
    choose(source, 2)
    assert volumeArray(acquisitions.shownVolume(source))[0] == pytest.approx(moving.images[2])
    assert motion.shownNode(source, motion.DISPLACEMENT) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_correction_survives_saving_and_loading(moving, scene, tmp_path, kind):
    source = load(moving, kind)
    nodes = corrected(source)
    motion.showDisplacement(source, True)
    expected, curve = volumeArray(nodes["t1"]), pixelCurve(source, 12, 15)
    images = acquisitions.acquisitionImages(motion.findCorrection(source)[motion.IMAGES])[0]
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    occupied = load(moving, kind, name="other")  # so that the loaded nodes are renumbered
    corrected(occupied)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    className = "vtkMRMLSequenceNode" if kind == "sequence" else "vtkMRMLScalarVolumeNode"
    (source,) = [node for node in slicer.util.getNodesByClass(className) if node.GetName() == "rest mid"]
    parts = motion.findCorrection(source)
    assert set(parts) == set(motion.NAMES)
    assert np.array_equal(acquisitions.acquisitionImages(parts[motion.IMAGES])[0], images)
    assert np.array_equal(volumeArray(t1maps.findT1Maps(source)["t1"]), expected)
    assert pixelCurve(source, 12, 15).t1 == pytest.approx(curve.t1)
    for frame in (0, 5, 2):
        if kind == "sequence":
            choose(source, frame)
        node = motion.shownNode(source, motion.DISPLACEMENT)
        assert shift(node, source, 17, 23, frame)[:2] == pytest.approx(moving.displacement[frame, :, 17, 23], abs=1e-3)
        assert node.GetDisplayNode().GetVisibility(), "the arrows stay while images are browsed"
    motion.showDisplacement(source, False)
    assert not motion.shownNode(source, motion.DISPLACEMENT).GetDisplayNode().GetVisibility()
    count = scene.GetNumberOfNodes()
    corrected(source)
    assert scene.GetNumberOfNodes() == count, "the loaded nodes were updated"


def test_arrows_are_drawn_for_one_acquisition_at_a_time(moving):
    first, second = load(moving), load(moving, name="stress mid")
    foreign = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Of another module")
    foreign.CreateDefaultDisplayNodes()
    foreign.GetDisplayNode().SetVisibility(True)
    for source in (first, second):
        corrected(source)
    seen = []
    for source, visible in ((first, True), (second, True), (second, False), (None, True)):
        motion.showDisplacement(source, visible)
        nodes = [motion.shownNode(s, motion.DISPLACEMENT).GetDisplayNode() for s in (first, second)]
        seen.append([bool(node is not None and node.GetVisibility()) for node in nodes])
    assert seen == [[True, False], [False, True], [False, False], [False, False]]
    assert foreign.GetDisplayNode().GetVisibility()


def test_a_study_of_a_batch_has_the_same_nodes(moving, scene, tmp_path):
    spacing = (OBLIQUE.spacing[1], OBLIQUE.spacing[0])
    truth = correct_and_reconstruct(moving.images, SHMOLLI_TIMES, moving.phase, spacing)
    series = Series(
        *("irw", "rest", "mid", "", "shmolli", SHMOLLI_TIMES, "", (), (), OBLIQUE, moving.images.shape, "irw_rest_mid"),
        source=None,
    )
    images = SeriesImages(moving.images, moving.phase, OBLIQUE)
    parameters = {"Scheme": "shmolli", "InversionTimes": SHMOLLI_TIMES, "LastTest": "scanner", **truth.parameters()}
    value = T1OfSeries(images, T1Result(truth.maps, truth, parameters))
    made = StepResult(series.key, series, "t1", truth.maps.t1[None], OBLIQUE, value)
    saveStudyScene({"t1": [made]}, tmp_path / "scene.mrb")
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    (source,) = [node for node in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if node.GetName() == series.key]
    assert set(motion.findCorrection(source)) == set(motion.NAMES)
    t1Map = t1maps.findT1Maps(source)["t1"]
    assert np.array_equal(volumeArray(t1Map)[0], truth.maps.t1)
    assert pixelCurve(source, 16, 15).t1 == pytest.approx(volumeArray(t1Map)[0, 16, 15], abs=0.01)
    outcome = motionoutcome.outcomeOf(t1Map)
    assert (outcome.outcome, outcome.region) == ("corrected", "heart") and outcome.mm > outcome.pixels
    undoCorrection(source)
    assert np.array_equal(volumeArray(t1Map)[0], truth.original.t1)
