"""A stack whose header does not tell its orientation is turned upright."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from CMRLandmarksLib.confidence import USUAL_HEADING  # noqa: E402
from CMRLandmarksLib.grid import is_short_axis  # noqa: E402
from CMRLandmarksLib.model import load_landmark_model  # noqa: E402
from CMRLandmarksLib.orientation import TURNS, is_mirrored, turn_placement, unusual, upright_turn  # noqa: E402
from CMRLandmarksLib.prediction import predict_landmarks  # noqa: E402
from CMRLandmarksLib.research.dataset import bank_of, simulated_slices  # noqa: E402
from CMRLandmarksLib.research.evaluation import points_of  # noqa: E402
from CMRLib.geometry import Geometry  # noqa: E402
from CMRLib.simulation.study import short_axis_geometry  # noqa: E402
from CMRLib.training.splits import TEST_SEED  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

UPRIGHT = np.array([[[100.0, 100.0], [80.0, 80.0], [125.0, 90.0]]])


def test_the_eight_turns_are_all_ways_to_store_a_square():
    image = np.arange(16.0).reshape(4, 4)
    turned = [turn_placement(axes, 4).sample(image, order=0) for axes in TURNS]
    ways = [way(np.rot90(image, k)) for way in (np.asarray, np.transpose) for k in range(4)]
    assert sorted(t.tolist() for t in turned) == sorted(way.tolist() for way in ways)
    assert np.array_equal(turned[0], image)


@pytest.mark.parametrize("axes", TURNS)
def test_points_turn_with_the_image(axes):
    turn = turn_placement(axes, 50)
    image = np.zeros((50, 50))
    image[12, 31] = 1.0
    row, column = np.argwhere(turn.sample(image, order=0) == 1.0)[0]
    assert turn.to_source(np.array([row, column], dtype=float)) == pytest.approx([12.0, 31.0])


def test_only_the_upright_view_of_a_heart_is_usual():
    line = UPRIGHT[:, 1] - UPRIGHT[:, 0]
    assert np.arctan2(line[0, 0], line[0, 1]) == pytest.approx(USUAL_HEADING, abs=0.1)
    scores = [unusual(turn_placement(axes, 200).to_target(UPRIGHT)) for axes in TURNS]
    assert int(np.argmin(scores)) == 0 and sorted(scores)[1] > scores[0] + 0.5
    assert [bool(is_mirrored(turn_placement(axes, 200).to_target(UPRIGHT))[0]) for axes in TURNS] == [
        np.linalg.det(axes) < 0 for axes in TURNS
    ]


def test_a_scanners_header_tells_the_plane_and_a_placeholder_does_not():
    assert is_short_axis(short_axis_geometry(1, (10, 10), 1.0))
    assert not is_short_axis(Geometry())


@pytest.fixture(scope="module")
def shipped():
    return load_landmark_model(device="cpu")


@pytest.fixture(scope="module")
def stack():
    return list(simulated_slices(range(TEST_SEED + 1, TEST_SEED + 4), ["cine"]))


def test_the_shipped_model_finds_which_way_up_a_stack_lies(shipped, stack):
    grids = bank_of(stack).images.astype(np.float32) / 255.0
    for axes in TURNS:
        turn = turn_placement(axes, grids.shape[-1])
        stored = np.stack([turn.sample(grid, order=0) for grid in grids])
        assert np.array_equal(upright_turn(stored, shipped), axes.T)


@pytest.mark.parametrize("axes", TURNS[1::2])
def test_landmarks_are_right_however_a_file_without_orientation_is_stored(shipped, stack, axes):
    item = stack[0]
    side = min(item.image.shape)
    image = item.image[:side, :side]
    geometry = Geometry(spacing=item.geometry.spacing)
    turn = turn_placement(axes, side)
    (found,) = predict_landmarks(turn.sample(image, order=0)[None], geometry, model=shipped)
    error = np.linalg.norm(points_of(found) - turn.to_target(item.points), axis=1) * geometry.spacing[0]
    assert error.max() < 5.0
