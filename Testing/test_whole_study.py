"""A whole study at once: all steps on what is loaded or on a folder, the scene of the outcome, and what ends a run."""

import types

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs slicer-core and trame-slicer")

from CMRLib.batch import registry
from CMRLib.batch.step import Step, StepReport, StepResult
from CMRLib.errors import Cancelled, InputError
from CMRLib.geometry import Geometry
from CMRLib.simulation import simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study
from CMRLib.study.series import STACK

STILL = {"motion_correction": False}
PARAMETERS = {
    "CMRT1Mapping": ("inputNode", "vtkMRMLSequenceNode"),
    "CMRLandmarks": ("inputVolume", "vtkMRMLScalarVolumeNode"),
    "CMRQCSegmentation": ("inputVolume", "vtkMRMLScalarVolumeNode"),
}


@pytest.fixture(scope="module")
def simulated():
    return simulate_study(seed=1, slices=("basal", "mid"))


@pytest.fixture(scope="module")
def folder(simulated, tmp_path_factory):
    """The folder of a study: ShMOLLI images of two slices at rest, magnitude and phase."""
    place = tmp_path_factory.mktemp("study") / "dicom"
    write_dicom_study(simulated, place)
    return place


@pytest.fixture
def process(scene):
    """`CMRLib.scene.wholestudy.processStudy` without motion correction."""
    from CMRLib.scene.wholestudy import processStudy

    return lambda folder=None, **arguments: processStudy(folder, **{"choices": STILL, "device": "cpu", **arguments})


@pytest.fixture
def load(scene, simulated):
    """Loads acquisitions of the simulated study as the DICOM plugin does."""
    from CMRLib.scene import acquisitions

    def put(count=1, **more):
        return [
            acquisitions.createAcquisition(
                f"Rest {one.slice}",
                one.images,
                one.inversion_times_ms,
                one.geometry,
                one.phase,
                {
                    acquisitions.SCHEME: one.scheme,
                    acquisitions.STATE: one.state,
                    acquisitions.SLICE: one.slice,
                    acquisitions.FIELD_STRENGTH: "1.5",
                    **more,
                },
            )
            for one in simulated.acquisitions[:count]
        ]

    return put


def stack(name, slices=1):
    """A loaded volume of short-axis images that says nothing of itself but its name."""
    from CMRLib.scene.volumes import addVolume

    pixels = np.random.default_rng(1).normal(100.0, 20.0, (slices, 96, 96)).astype(np.float32)
    return addVolume(name, pixels, Geometry((0.0, 0.0, 0.0), (1.5, 1.5, 8.0)))


def nodes_of(scene):
    """Every node of the scene that is not there from the start, as (class, name, role, names of what it refers to)."""
    import slicer

    found = []
    for node in slicer.util.getNodesByClass("vtkMRMLNode"):
        roles = []
        node.GetNodeReferenceRoles(roles)
        referred = [
            (role, node.GetNodeReference(role)) for role in roles if not role.startswith(("display", "storage"))
        ]
        names = tuple(sorted((role, other.GetName()) for role, other in referred if other is not None))
        if node.GetAttribute("CMR.Role") or node.GetAttribute("ModuleName"):
            found.append((node.GetClassName(), node.GetName(), node.GetAttribute("CMR.Role"), names))
    return sorted(found, key=str)


def module_node(name, parameter):
    import slicer

    return slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLScriptedModuleNode").GetNodeReference(parameter)


def test_a_folder_gives_all_that_it_allows_and_every_module_its_part(process, folder):
    import slicer

    from CMRLib.scene import aha, landmarks, regions
    from CMRLib.scene.landmarkreview import readReview
    from CMRLib.scene.results import findResult
    from CMRQCSegmentationLib.scene.segmentationreview import readReview as readSegmentationReview
    from CMRT1MappingLib.scene import t1maps

    steps = []
    done = process(folder, progress=lambda name, number, count, fraction: steps.append((name, number, count, fraction)))
    assert done.counts() == {"T1 maps": 2, "segmented slices": 2, "landmarks": 2} and done.results["status"] == "ok"
    fractions = [fraction for *_step, fraction in steps]
    assert fractions == sorted(fractions) and fractions[0] == 0.0 and fractions[-1] == 1.0
    assert list(dict.fromkeys(step[:3] for step in steps)) == [
        ("t1", 1, 3),
        ("segmentation", 2, 3),
        ("landmarks", 3, 3),
    ]
    assert len(set(fractions)) > 12, "progress within the steps, too"

    assert len(done.maps) == 2
    for volume in done.maps:
        source = volume.GetNodeReference("CMR.Source")
        assert t1maps.findT1Maps(source)["t1"] is volume
        node = landmarks.findLandmarks(volume)
        assert len(readReview(node)) == 1
        assert len(readSegmentationReview(regions.findSegmentation(volume))) == 1
        segments = findResult(volume, aha.LABELS_ROLE, aha.LABELS_CLASS)
        assert slicer.util.arrayFromVolume(segments).any()
    for module, (parameter, className) in PARAMETERS.items():
        assert module_node(module, parameter).GetClassName() == className
    assert module_node("CMRLandmarks", "segmentationNode") is not None

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volume)) for volume in done.maps}
    assert [hierarchy.GetItemName(item) for item in parents] == [done.results["id"]]


def test_stress_and_contrast_come_along_where_they_are_there(process, tmp_path):
    import slicer

    write_dicom_study(simulate_study(seed=1, slices=("mid",), states=("rest", "stress", "post")), tmp_path / "dicom")
    done = process(tmp_path / "dicom", choices={**STILL, "synthetic_hematocrit": True})
    assert done.counts()["slices of rest and stress"] == done.counts()["ECV maps"] == 1
    roles = {node.GetAttribute("CMR.Role") for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")}
    assert {"t1", "dt1", "ecv"} <= roles
    (rest,) = done.maps
    assert rest.GetNodeReference("CMR.Source").GetAttribute("CMR.State") == "rest"
    assert module_node("CMRStressReactivity", "restVolume") is rest
    stress = module_node("CMRStressReactivity", "stressVolume")
    assert stress.GetNodeReference("CMR.Source").GetAttribute("CMR.State") == "stress"
    assert module_node("CMRT1Mapping", "ecvNativeMap") is rest


def test_what_is_loaded_gets_its_results_and_a_second_run_replaces_them(process, load, scene):
    import slicer

    from CMRT1MappingLib.scene import t1maps

    sources = load(2)
    first = process()
    count = scene.GetNumberOfNodes()
    assert first.counts()["T1 maps"] == 2
    for source in sources:
        assert t1maps.findT1Maps(source)["t1"] in first.maps
    assert module_node("CMRT1Mapping", "inputNode") is sources[0]
    sequences = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSequenceNode")]
    assert sorted(sequences) == ["Rest basal", "Rest basal phase", "Rest mid", "Rest mid phase"]
    second = process()
    assert second.maps == first.maps and scene.GetNumberOfNodes() == count


def test_nodes_and_files_give_the_same_maps(process, load, folder):
    import slicer

    load(2)
    of_nodes = [slicer.util.arrayFromVolume(volume).copy() for volume in process().maps]
    slicer.mrmlScene.Clear(0)
    of_files = [slicer.util.arrayFromVolume(volume) for volume in process(folder).maps]
    # Files hold whole numbers.
    for one, other in zip(of_nodes, of_files, strict=True):
        assert np.median(np.abs(one - other)) < 3.0


@pytest.mark.parametrize(("step", "least"), [("t1", 0.0), ("t1", 0.5), ("segmentation", 0.3), ("landmarks", 0.3)])
def test_cancelling_leaves_the_scene_as_it_was(process, load, scene, step, least):
    """Also where results of an earlier run are there: they stay whole."""
    import slicer

    load()
    earlier = process()
    (t1,) = earlier.maps
    slicer.util.arrayFromVolume(t1)[:] = 7.0
    before, number = nodes_of(scene), scene.GetNumberOfNodes()
    told = {"t1": 1, "segmentation": 2, "landmarks": 3}

    def cancel(name, number, count, fraction):
        if name == step and fraction >= (told[step] - 1 + least) / 3:
            raise Cancelled("Cancelled by the user.")

    with pytest.raises(Cancelled):
        process(progress=cancel)
    assert nodes_of(scene) == before and scene.GetNumberOfNodes() == number
    assert (slicer.util.arrayFromVolume(t1) == 7.0).all()


def test_a_volume_that_is_removed_meanwhile_ends_the_run(process, load, scene):
    (source,) = load()

    def remove(name, number, count, fraction):
        if name == "landmarks" and scene.IsNodePresent(source):
            scene.RemoveNode(source)

    with pytest.raises(Cancelled, match="the results were discarded"):
        process(progress=remove)


def test_slices_that_the_analyst_corrected_stay(process, load):
    import slicer

    from CMRLib.scene import regions
    from CMRQCSegmentationLib.scene import segmentations
    from CMRQCSegmentationLib.scene.segmentationreview import readReview

    load()
    (volume,) = process().maps
    node = regions.findSegmentation(volume)
    drawn = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    drawn[0, 20:30, 20:30] = 1
    segmentations.writeLabels(node, volume, drawn)
    segmentations.noticeEdits(node, volume)
    process()
    assert np.array_equal(segmentations.readLabels(node, volume), drawn)
    assert readReview(node)[0].status.value == "corrected"


@pytest.mark.parametrize(
    ("name", "slices", "role", "state", "place", "kind"),
    [
        ("12: ShMOLLI_T1Map_postGd", 1, "t1", "post", "mid", ""),
        ("T1 map", 3, "t1", "rest", STACK, ""),
        ("LGE_PSIR sax", 3, "lge", "", STACK, "psir"),
        ("VNE", 1, "vne", "", "mid", ""),
        ("sax cine", 4, "cine", "", STACK, ""),
    ],
)
def test_a_volume_is_known_by_its_name(scene, tmp_path, name, slices, role, state, place, kind):
    from CMRLib.scene.loaded import loadedStudy

    volume = stack(name, slices)
    study, nodes = loadedStudy(tmp_path)
    (series,) = study.series
    assert (series.role, series.state, series.slice, series.kind) == (role, state, place, kind)
    assert nodes == {series.key: volume} and series.load().images.shape == (slices, 96, 96)


def test_a_volume_is_known_by_the_files_that_it_was_loaded_from(scene, tmp_path, folder, monkeypatch):
    """Slicer notes the images of a volume; here a scanner's T1 map, and images that lost their inversion times."""
    import pydicom
    import slicer

    from CMRLib.scene.loaded import loadedStudy

    files = {}
    for place in sorted(folder.iterdir()):
        for file in sorted(place.iterdir()):
            header = pydicom.dcmread(file, stop_before_pixels=True)
            files[str(header.SOPInstanceUID)] = str(file)
    (irw, *_others) = [place for place in sorted(folder.iterdir()) if not place.name.endswith("_P")]
    uids = [uid for uid, file in files.items() if file.startswith(str(irw))]
    database = types.SimpleNamespace(fileForInstance=lambda uid: files.get(uid, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    plain, other = stack("no telling name", 7), stack("T1 map of another program")
    plain.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    other.SetAttribute("DICOM.instanceUIDs", "1.2.3")  # not in the database any more
    study, nodes = loadedStudy(tmp_path)
    assert list(nodes.values()) == [other]
    (left,) = study.unrecognised
    assert left.lost_role == "irw" and "load it in the DICOM module as inversion-recovery images" in left.reason


def test_what_a_folder_left_in_the_scene_is_known_again(process, tmp_path, scene, load):
    """Also after the scene was saved and opened: volumes say of which series they are."""
    from CMRLib.scene.loaded import loadedStudy

    load()
    stack("LGE PSIR stack", 3)
    process()
    study, before = loadedStudy(tmp_path)
    for node in before.values():
        node.SetName("renamed")
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    again, nodes = loadedStudy(tmp_path)
    assert sorted(nodes) == sorted(before) and [s.role for s in again.series] == [s.role for s in study.series]


def test_what_cannot_be_used_is_told_in_a_sentence(process, load, tmp_path):
    with pytest.raises(InputError, match="No images of the heart are loaded; load a study, or choose its folder"):
        process()
    with pytest.raises(InputError, match="There is no folder"):
        process(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no DICOM file"):
        process(tmp_path / "empty")
    stack("Rec 7")
    with pytest.raises(InputError, match="Rec 7: Neither its name nor DICOM files tell what it shows"):
        process()
    (source,) = load()
    source.SetIndexName("frame")
    with pytest.raises(InputError, match=r"Rest basal: Its inversion times are not known; select it as the images"):
        process()


def test_images_that_are_left_out_are_told_and_the_others_done(process, load):
    load()
    stack("Rec 7")
    done = process()
    assert done.counts()["T1 maps"] == 1 and done.results["warnings"][0].startswith("Rec 7: Neither its name")


def test_a_step_that_is_new_comes_along(process, load, monkeypatch):
    """A line in the registry and the step's own scene: nothing else has to know of it."""
    import sys

    class Toy(Step):
        name, roles, after, nothing = "toy", ("irw",), ("t1",), "Nothing for it."
        scene = "toy_scene"
        seen = []

        def check(self, choices, device):
            """Nothing is missing."""

        def run(self, task):
            (t1,) = task.earlier["t1"]
            task.progress(0.5)
            made = StepResult(t1.key, t1.series, "", t1.images, t1.geometry, "found")
            return StepReport(entries=[{"flagged": True}], made=[made])

    toy = types.ModuleType("toy_step")
    toy.STEP = Toy()
    scene_module = types.ModuleType("toy_scene")
    scene_module.addNodes = lambda results, volumes: Toy.seen.append(volumes[results[0].key].GetAttribute("CMR.Role"))
    for module in (toy, scene_module):
        monkeypatch.setitem(sys.modules, module.__name__, module)
        module.__spec__ = types.SimpleNamespace(name=module.__name__)
    monkeypatch.setitem(registry.STEP_MODULES, "toy", "toy_step")
    load()
    steps = []
    done = process(progress=lambda name, *_rest: steps.append(name))
    assert Toy.seen == ["t1"] and "toy" in steps and done.flagged() >= 1


def test_the_command_gives_the_same_scene(process, folder, scene, tmp_path, monkeypatch):
    """``--scene`` without ``--steps``: opened again, nodes, references, reviews and module settings are the same."""
    from pathlib import Path

    import slicer

    from CMRLib.files.color_tables import T1_COLOR_TABLES
    from CMRLib.scene import landmarks, regions
    from CMRLib.scene.landmarkreview import readReview
    from CMRQCSegmentationLib.scene.segmentationreview import readReview as readSegmentationReview

    process(folder)
    expected = nodes_of(scene)
    scene.Clear(0)

    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "Resources" / "Scripts"))
    import cmr_batch

    arguments = [
        "--input",
        str(folder),
        "--output",
        str(tmp_path),
        "--scene",
        "--no-motion-correction",
        "--device",
        "cpu",
    ]
    assert cmr_batch.main(arguments) == 0
    (saved,) = tmp_path.glob("*/scene.mrb")
    assert scene.ReadFromMRB(str(saved))
    assert nodes_of(scene) == expected
    maps = [n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if n.GetAttribute("CMR.Role") == "t1"]
    assert len(maps) == 2
    for volume in maps:
        colors = volume.GetDisplayNode().GetColorNode()
        assert colors.GetAttribute("CMR.ColorTable") == T1_COLOR_TABLES["1.5 T"]
        assert volume.GetDisplayNode().GetWindowLevelMax() == colors.GetColorTransferFunction().GetRange()[1]
        assert volume.GetVoxelValueUnits().GetCodeValue() == "ms"
        (entry,) = readReview(landmarks.findLandmarks(volume))
        assert entry.status.value in ("auto", "flagged") and entry.confidence is not None
        (entry,) = readSegmentationReview(regions.findSegmentation(volume))
        assert entry.status.value in ("auto", "flagged")
        segmentation = regions.findSegmentation(volume).GetSegmentation()
        assert [segmentation.GetNthSegment(n).GetName() for n in (0, 1)] == ["Myocardium", "Blood pool"]
    for module, (parameter, className) in PARAMETERS.items():
        assert module_node(module, parameter).GetClassName() == className, module
