"""A real short-axis image with its contours as the anatomy and background texture of a simulated study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage, sparse

from CMRLib.anatomy.axis import check_level
from CMRLib.anatomy.insertions import LEFT_VENTRICLE, MYOCARDIUM, RIGHT_VENTRICLE, find_landmarks
from CMRLib.anatomy.landmarks import Point, SliceLandmarks
from CMRLib.errors import InputError
from CMRLib.files.images import read_image
from CMRLib.simulation.anatomy import SliceAnatomy

NOMINAL_SPACING_MM = 1.5
SUBSAMPLES = 4  # along each side of a target pixel
LEVEL_FRACTION = {"basal": 0.2, "mid": 0.5, "apical": 0.8}
TISSUE_NAMES = (
    "air",
    "lung",
    "skeletal muscle",
    "liver",
    "spleen",
    "fat",
    "epicardial fat",
    "vessel",
    "right ventricular wall",
    "right blood",
    "myocardium",
    "left blood",
    "papillary muscle",
    "right trabecula",
)
INDEX = {name: i for i, name in enumerate(TISSUE_NAMES)}
HEART = [INDEX[name] for name in TISSUE_NAMES[8:]]
# T1 follows the texture outside the heart: where bSSFP is brighter, T1 is shorter. The exponent is nominal.
T1_EXPONENT = -0.15


@dataclass(frozen=True)
class LabelledAnatomy:
    """A stack of short-axis bSSFP cine images and its labels, as in the ACDC data set.

    The ventricles and the myocardium are those of the labels; dark strands inside the cavities become papillary muscles
    and trabeculae. Everything else is told apart by intensity, size and place (see `_background`), which is right in
    appearance rather than in anatomy. The image's intensity relative to its surroundings of the same tissue becomes a
    local factor of the proton density and, outside the heart, of T1, so that the texture is a real one.

    Attributes:
        image: float32 (slice, row, column).
        labels: uint8 (slice, row, column): 1 RV cavity, 2 LV myocardium, 3 LV cavity, 0 anything else.
        spacing_mm: spacing of the square pixels.
    """

    image: np.ndarray
    labels: np.ndarray
    spacing_mm: float = NOMINAL_SPACING_MM

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape != self.labels.shape:
            raise InputError("The image and its labels must be stacks of the same size; use a matching pair of files.")
        if not np.all(np.isfinite(self.image)):
            raise InputError("The image holds pixels that are not finite numbers; export it again.")
        if not self.levels().size:
            raise InputError(
                "No slice has labels for both the myocardium (2) and the left ventricle (3); "
                "use labels in the ACDC format."
            )

    @classmethod
    def from_files(
        cls, image: Path | str, labels: Path | str | None = None, spacing_mm: float | None = NOMINAL_SPACING_MM
    ) -> LabelledAnatomy:
        """Read an image and its labels, by default the file beside it whose name has ``_gt`` before the ending.

        Args:
            image: any 3D image that SimpleITK reads.
            labels: the same grid with 1 RV cavity, 2 LV myocardium, 3 LV cavity.
            spacing_mm: pixel spacing; None takes the header's. The default is nominal, for files whose header holds a
                placeholder (1 mm), as copies of the ACDC data often do.

        Raises:
            InputError: a file is missing, is not an image, or the two do not match.
        """
        image = Path(image)
        pixels, geometry = read_image(image)
        values, _ = read_image(labels if labels is not None else labels_beside(image))
        if spacing_mm is None and abs(geometry.spacing[0] - geometry.spacing[1]) > 1e-3:
            raise InputError(f"The pixels of {image.name} are not square; resample it first.")
        return cls(pixels, values.astype(np.uint8), geometry.spacing[0] if spacing_mm is None else spacing_mm)

    def field_of_view(self, spacing_mm: float) -> tuple[int, int]:
        """Rows and columns that cover the image."""
        rows, columns = self.image.shape[1:]
        return round(rows * self.spacing_mm / spacing_mm), round(columns * self.spacing_mm / spacing_mm)

    def slice(self, level: str, shape: tuple[int, int], spacing_mm: float) -> SliceAnatomy:
        """The slice a fifth, half or four fifths of the way from base to apex, centred on the grid's centre.

        Raises:
            InputError: unknown level, or a level other than mid where fewer than three slices have labels.
        """
        check_level(level)
        usable = self.levels()
        if usable.size < 3 and level != "mid":
            raise InputError(f"Only {usable.size} slices have labels, so there is no {level} one; use mid.")
        return self.numbered(int(usable[round(LEVEL_FRACTION[level] * (usable.size - 1))]), shape, spacing_mm)

    def numbered(self, number: int, shape: tuple[int, int], spacing_mm: float) -> SliceAnatomy:
        """The slice with this number in the stack, which must be one that shows wall and cavity, centred likewise."""
        image, labels = self.image[number], self.labels[number]
        tissue = _tissue_map(image, labels, self.spacing_mm)
        density = _texture(image, tissue, self.spacing_mm)
        t1_factor = np.where(np.isin(tissue, HEART), 1.0, density**T1_EXPONENT)

        rows = _interpolation(image.shape[0], self.spacing_mm, shape[0], spacing_mm)
        columns = _interpolation(image.shape[1], self.spacing_mm, shape[1], spacing_mm)

        def resampled(values: np.ndarray) -> np.ndarray:
            return (columns @ (rows @ values.astype(float)).T).T

        shares = np.stack([resampled(tissue == i) for i in range(len(TISSUE_NAMES))])
        inside = shares.sum(axis=0)
        shares[INDEX["air"]] += 1.0 - inside
        offset = (np.array(shape) - 1) / 2.0
        source_offset = (np.array(image.shape) - 1) / 2.0

        def target(point: Point) -> Point:
            row, column = (np.array(point) - source_offset) * self.spacing_mm / spacing_mm + offset
            return float(row), float(column)

        found = find_landmarks(labels)
        anterior, inferior = found.rv_insertion, found.inferior_rv_insertion
        return SliceAnatomy(
            tissues=TISSUE_NAMES,
            fractions=shares.astype(np.float32),
            density=(resampled(density) + 1.0 - inside).astype(np.float32),
            t1_factor=(resampled(t1_factor) + 1.0 - inside).astype(np.float32),
            landmarks=SliceLandmarks(
                target(found.lv_center), anterior and target(anterior), inferior and target(inferior)
            ),
        )

    def levels(self) -> np.ndarray:
        """Numbers of the slices that show the LV's wall and cavity, base first.

        The base is the end of the stack where the right ventricle's cavity is larger.
        """
        present = np.any(self.labels == MYOCARDIUM, axis=(1, 2)) & np.any(self.labels == LEFT_VENTRICLE, axis=(1, 2))
        numbers = np.flatnonzero(present)
        area = np.sum(self.labels[numbers] == RIGHT_VENTRICLE, axis=(1, 2))
        half = numbers.size // 2
        return numbers[::-1] if area[:half].sum() < area[numbers.size - half :].sum() else numbers


def labels_beside(image: Path) -> Path:
    """The label file that belongs to an image: ``name_gt.nii.gz`` for ``name.nii.gz``."""
    stem, dot, ending = image.name.partition(".")
    return image.with_name(f"{stem}_gt{dot}{ending}")


def labelled_images(folder: Path | str) -> list[Path]:
    """The images in a folder that have labels beside them, sorted by name.

    Raises:
        InputError: the folder does not exist or holds no such pair.
    """
    folder = Path(folder)
    images = [path for path in sorted(folder.glob("*")) if path.is_file() and labels_beside(path).is_file()]
    if not images:
        raise InputError(f"{folder} holds no image with labels beside it (name.nii.gz and name_gt.nii.gz).")
    return images


def _grown(mask: np.ndarray, by_px: float) -> np.ndarray:
    """The mask and all pixels within ``by_px`` of it."""
    return ndimage.distance_transform_edt(~mask) <= by_px if mask.any() else mask


def _opened(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """The parts of the mask in which a disk of the radius fits."""
    return mask & _grown(ndimage.distance_transform_edt(mask) > radius_px, radius_px)


def _tissue_map(image: np.ndarray, labels: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Index of the tissue in every pixel, uint8 (row, column)."""
    muscle = float(np.median(image[labels == MYOCARDIUM]))
    rv, lv = labels == RIGHT_VENTRICLE, labels == LEFT_VENTRICLE
    bright = _between(muscle, image[lv])
    tissue = _background(image, labels > 0, 0.6 * muscle, bright, spacing_mm)
    # The rim of the RV's cavity, which carries no label, is its wall where it is as dark as muscle.
    rim = _grown(rv, 4.0 / spacing_mm) & (labels == 0) & (image < bright)
    tissue[rim] = INDEX["right ventricular wall"]
    tissue[rv] = INDEX["right blood"]
    tissue[labels == MYOCARDIUM] = INDEX["myocardium"]
    tissue[lv] = INDEX["left blood"]
    tissue[lv & (image < bright)] = INDEX["papillary muscle"]
    if rv.any():
        tissue[rv & (image < _between(muscle, image[rv]))] = INDEX["right trabecula"]
    return tissue


def _between(muscle: float, cavity: np.ndarray) -> float:
    """The intensity half way between the myocardium's and that of the blood in a cavity."""
    return 0.5 * (muscle + max(float(np.percentile(cavity, 75.0)), 1.2 * muscle))


def _background(
    image: np.ndarray, heart: np.ndarray, dark_below: float, bright_above: float, spacing_mm: float
) -> np.ndarray:
    """Tissues outside the heart, from a bSSFP cine's intensity.

    Dark is air where it reaches the edge of the image, else lung. A bright region is fat when a part of it lies within
    15 mm of the air; of the others, what is thicker than 12 mm is blood and the rest epicardial fat. Between the two,
    the largest region that holds a disk of 20 mm is the liver, other large ones are spleen, and the rest is muscle.
    """
    smooth = ndimage.gaussian_filter(image, 0.7)
    dark = (smooth < dark_below) & ~heart
    regions, _ = ndimage.label(np.pad(dark, 1, constant_values=True))
    air = (regions == regions[0, 0])[1:-1, 1:-1]
    tissue = np.full(image.shape, INDEX["skeletal muscle"], dtype=np.uint8)
    tissue[dark] = INDEX["lung"]
    tissue[air] = INDEX["air"]

    light = (smooth > bright_above) & ~heart
    depth = ndimage.distance_transform_edt(~air) * spacing_mm if air.any() else np.full(image.shape, np.inf)
    thick = _opened(light, 6.0 / spacing_mm)
    tissue[light] = INDEX["epicardial fat"]
    tissue[thick] = INDEX["vessel"]
    regions, count = ndimage.label(light)
    shallow = np.zeros(count + 1, dtype=bool)
    shallow[np.unique(regions[light & (depth < 15.0)])] = True
    tissue[shallow[regions] & light] = INDEX["fat"]

    organs = _opened((tissue == INDEX["skeletal muscle"]) & ~heart, 10.0 / spacing_mm)
    regions, count = ndimage.label(organs)
    if count:
        sizes = np.bincount(regions.ravel())[1:]
        tissue[(regions > 0) & (sizes[regions - 1] * spacing_mm**2 > 900.0)] = INDEX["spleen"]
        tissue[regions == 1 + int(np.argmax(sizes))] = INDEX["liver"]
    return tissue


def _texture(image: np.ndarray, tissue: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Intensity relative to the same tissue's mean within about 25 mm, from 0.4 to 1.8; 1 in air."""
    texture = np.ones(image.shape)
    for i in np.unique(tissue):
        if i == INDEX["air"]:
            continue
        mask = tissue == i
        weight = ndimage.gaussian_filter(mask.astype(float), 25.0 / spacing_mm)
        mean = ndimage.gaussian_filter(np.where(mask, image, 0.0), 25.0 / spacing_mm) / np.maximum(weight, 1e-9)
        texture[mask] = np.clip(image[mask] / np.maximum(mean[mask], 1e-6), 0.4, 1.8)
    return texture


def _interpolation(source: int, source_mm: float, target: int, target_mm: float) -> sparse.csr_matrix:
    """Sparse matrix (target, source): linear interpolation averaged over each target pixel, 0 outside the source."""
    fine = np.arange(target * SUBSAMPLES)
    position = ((fine + 0.5) / SUBSAMPLES - target / 2.0) * target_mm / source_mm + (source - 1) / 2.0
    lower = np.floor(position).astype(int)
    share = position - lower
    valid = [(index >= 0) & (index < source) for index in (lower, lower + 1)]
    row = np.concatenate([fine[valid[0]], fine[valid[1]]]) // SUBSAMPLES
    column = np.concatenate([lower[valid[0]], lower[valid[1]] + 1])
    weight = np.concatenate([1.0 - share[valid[0]], share[valid[1]]]) / SUBSAMPLES
    return sparse.csr_matrix((weight, (row, column)), shape=(target, source))
