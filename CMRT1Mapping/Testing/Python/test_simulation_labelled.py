"""Labelled images as the anatomy of a simulated study: a synthetic stack always, the real ones where they are."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from CMRLib.anatomy.insertions import find_landmarks
from CMRLib.errors import InputError
from CMRLib.simulation import LabelledAnatomy, labelled_images, simulate_study

MUSCLE, BLOOD, FAT, LUNG, LIVER = 60.0, 190.0, 220.0, 12.0, 75.0
SLICES, ROWS, COLUMNS = 6, 120, 150


def synthetic_stack(base_first=True):
    """A cine-like stack and its labels: heart in a lung, liver below, fat around, air outside; RV to the left."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(float)
    image = np.zeros((SLICES, ROWS, COLUMNS))
    labels = np.zeros((SLICES, ROWS, COLUMNS), dtype=np.uint8)
    for k in range(SLICES):
        size = 1.0 - 0.09 * k
        body = np.hypot((x - 75) / 68, (y - 60) / 52)
        lv = np.hypot(x - 80, y - 50)
        rv = np.hypot((x - 62) / 1.1, y - 50)
        image[k][body < 1] = FAT
        image[k][body < 0.85] = LUNG
        image[k][(body < 0.85) & (y > 68)] = LIVER
        image[k][rv < 19 * size + 2] = MUSCLE
        image[k][rv < 19 * size] = BLOOD
        image[k][lv < 22 * size] = MUSCLE
        image[k][lv < 15 * size] = BLOOD
        image[k][np.hypot(x - 86, y - 54) < 3] = MUSCLE
        labels[k][rv < 19 * size] = 1
        labels[k][lv < 22 * size] = 2
        labels[k][lv < 15 * size] = 3
    image = ndimage.gaussian_filter(image, (0, 0.5, 0.5)) + rng.normal(0, 3, image.shape)
    image = np.clip(image, 0, 255).astype(np.float32)
    return (image, labels) if base_first else (image[::-1].copy(), labels[::-1].copy())


def write_pair(folder, name, image, labels, spacing=(1.0, 1.0, 1.0)):
    for array, ending in ((image, ""), (labels, "_gt")):
        picture = sitk.GetImageFromArray(array)
        picture.SetSpacing(spacing)
        sitk.WriteImage(picture, str(folder / f"{name}{ending}.nii.gz"))
    return folder / f"{name}.nii.gz"


@pytest.fixture(scope="module")
def anatomy():
    return LabelledAnatomy(*synthetic_stack())


def test_labels_become_the_heart(anatomy):
    found = anatomy.slice("mid", (ROWS, COLUMNS), 1.5)
    assert found.fractions.sum(axis=0) == pytest.approx(1.0, abs=1e-5)
    labels = anatomy.labels[2]

    def share(*names):
        return found.fractions[[found.tissues.index(name) for name in names]].sum(axis=0)

    assert np.mean(share("myocardium")[labels == 2]) > 0.9
    assert np.mean(share("left blood", "papillary muscle")[labels == 3]) > 0.95
    assert share("papillary muscle")[54, 86] > 0.8
    assert share("left blood")[50, 78] > 0.99
    assert share("liver")[85, 60] > 0.95 and share("lung")[30, 100] > 0.95 and share("fat")[60, 10] > 0.95
    assert share("air")[2, 2] == pytest.approx(1.0)


def test_landmarks_follow_the_labels(anatomy):
    landmarks = anatomy.slice("mid", (2 * ROWS, 2 * COLUMNS), 0.75).landmarks
    row, column = landmarks.lv_center
    assert (row - 119.5) / 2 + 59.5 == pytest.approx(50.0, abs=0.3)
    assert (column - 149.5) / 2 + 74.5 == pytest.approx(80.0, abs=0.3)
    # The circles of the two ventricles' outlines cross left of the LV's centre, above and below it.
    assert landmarks.rv_insertion[0] < row - 20 < row + 20 < landmarks.inferior_rv_insertion[0]
    assert landmarks.rv_insertion[1] < column and landmarks.inferior_rv_insertion[1] < column


def test_a_slice_without_right_ventricle_has_no_insertion_points():
    labels = synthetic_stack()[1][3]
    alone = find_landmarks(np.where(labels == 1, 0, labels))
    assert alone.rv_insertion is None and alone.inferior_rv_insertion is None
    assert alone.lv_center == pytest.approx((50.0, 80.0), abs=0.3)


@pytest.mark.parametrize("base_first", [True, False])
def test_the_base_is_found_from_the_right_ventricle(base_first):
    anatomy = LabelledAnatomy(*synthetic_stack(base_first))
    shares = [anatomy.slice(level, (ROWS, COLUMNS), 1.5) for level in ("basal", "mid", "apical")]
    sizes = [s.fractions[s.tissues.index("left blood")].sum() for s in shares]
    assert sizes[0] > sizes[1] > sizes[2]


def test_texture_is_that_of_the_image(anatomy):
    found = anatomy.slice("mid", (ROWS, COLUMNS), 1.5)
    liver = ndimage.binary_erosion(found.fractions[found.tissues.index("liver")] > 0.99, iterations=4)
    assert np.corrcoef(found.density[liver], anatomy.image[2][liver])[0, 1] > 0.85
    assert found.density[liver].mean() == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(found.t1_factor[liver], anatomy.image[2][liver])[0, 1] < -0.85
    wall = found.fractions[found.tissues.index("myocardium")] > 0.99
    assert np.all(found.t1_factor[wall] == 1.0)


def test_simulated_images_show_the_texture(anatomy):
    study = simulate_study(0, slices=("mid",), anatomy=anatomy, snr=400.0, shading=0.0, spacing_mm=1.5)
    (acquisition,) = study.acquisitions
    assert acquisition.images.shape == (7, ROWS, COLUMNS)
    liver = np.zeros((ROWS, COLUMNS), dtype=bool)
    liver[78:95, 50:90] = True
    smooth = [ndimage.gaussian_filter(i, 1.5)[liver] for i in (acquisition.images[4], anatomy.image[2])]
    assert np.corrcoef(*smooth)[0, 1] > 0.9
    assert set(np.unique(acquisition.truth.labels)) == {0, 1, 2, 3}


def test_files_of_a_user_folder(tmp_path):
    image, labels = synthetic_stack()
    first = write_pair(tmp_path, "b", image, labels)
    second = write_pair(tmp_path, "a", image, labels, spacing=(1.3, 1.3, 8.0))
    (tmp_path / "notes.txt").write_text("no image")
    assert labelled_images(tmp_path) == [second, first]
    nominal, own = LabelledAnatomy.from_files(second), LabelledAnatomy.from_files(second, spacing_mm=None)
    assert nominal.spacing_mm == 1.5 and own.spacing_mm == pytest.approx(1.3)
    assert nominal.field_of_view(1.5) == (ROWS, COLUMNS)


def test_what_cannot_be_used_is_refused(tmp_path):
    image, labels = synthetic_stack()
    with pytest.raises(InputError, match="no image with labels"):
        labelled_images(tmp_path)
    with pytest.raises(InputError, match="same size"):
        LabelledAnatomy(image, labels[:, :-1])
    with pytest.raises(InputError, match="ACDC format"):
        LabelledAnatomy(image, np.zeros_like(labels))
    with pytest.raises(InputError, match="finite"):
        LabelledAnatomy(np.where(labels == 3, np.nan, image), labels)
    with pytest.raises(InputError, match="no basal"):
        LabelledAnatomy(image[:2], labels[:2]).slice("basal", (ROWS, COLUMNS), 1.5)
    path = write_pair(tmp_path, "oblong", image, labels, spacing=(1.3, 1.5, 8.0))
    with pytest.raises(InputError, match="not square"):
        LabelledAnatomy.from_files(path, spacing_mm=None)
    (tmp_path / "oblong_gt.nii.gz").unlink()
    with pytest.raises(InputError, match="no image file"):
        LabelledAnatomy.from_files(path)


@pytest.mark.real_data
def test_real_images_as_anatomy(real_data):
    images = labelled_images(real_data / "acdc-dev")
    for path in images[:: len(images) // 7]:
        anatomy = LabelledAnatomy.from_files(path)
        study = simulate_study(1, slices=("basal", "mid", "apical"), anatomy=anatomy, spacing_mm=1.5, snr=40.0)
        for acquisition in study.acquisitions:
            wall = acquisition.truth.labels == 1
            assert wall.sum() > 60, path.name
            assert np.all(np.isfinite(acquisition.images)) and acquisition.images.shape[1:] == anatomy.image.shape[1:]
        mid = study.acquisitions[1]
        center = mid.truth.landmarks.lv_center
        assert mid.truth.labels[round(center[0]), round(center[1])] == 2
        blood = ndimage.binary_erosion(mid.truth.labels == 2, iterations=3)
        wall = mid.truth.myocardium > 0.99
        if blood.sum() > 20:
            assert mid.images[0][blood].mean() > mid.images[0][wall].mean()
            assert mid.images[1][blood].mean() < mid.images[1][wall].mean()
