"""Model-driven registration by mdreg in the peers' environment: ``benchmark_motion_mdreg.py THREADS``.

It speaks as benchmark_motion_elastix.py does; the input also holds ``inversion_times_ms``. mdreg fits a signal model,
registers every image to its fit with elastix, and begins again, five times by default. Its settings are its own but for
the images' spacing and the distance of control points: with its 16 mm a severe tuning set became worse, from 4.6 to
6.9 px, and with the 64 mm that elastix has here as well it became a little better, 4.1 px.

The model is that of ``mdreg.fit_abs_exp_recovery_3p``, |A - B exp(-TI/T1*)|. Fitted with SciPy pixel by pixel as there,
one set would take half an hour, so the same model is fitted here to all pixels at once, over a grid of T1* and all
places of the change of sign, as a function of an image that mdreg takes.
"""

import sys

import mdreg  # type: ignore[import-not-found]
import numpy as np

CONTROL_SPACING_MM = "64"
T1_STAR_MS = np.geomspace(50.0, 4000.0, 48)


def fitted(signal: np.ndarray, TI: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The model's images, of the shape of the signal (row, column, frame), and A, B and T1* of each pixel."""
    order = np.argsort(TI)
    samples = signal.reshape(-1, len(TI))[:, order].astype(np.float64)
    best = np.full(len(samples), np.inf)
    parameters = np.zeros((len(samples), 3))
    for negative in range(len(TI)):
        signs = np.where(np.arange(len(TI)) < negative, -1.0, 1.0)
        signed = samples * signs
        for t1_star in T1_STAR_MS:
            basis = np.column_stack([np.ones(len(TI)), -np.exp(-TI[order] / t1_star)])
            found = signed @ np.linalg.pinv(basis).T
            left = np.square(signed - found @ basis.T).sum(axis=1)
            better = left < best
            best[better] = left[better]
            parameters[better, :2] = found[better]
            parameters[better, 2] = t1_star
    a, b, t1_star = (values[:, None] for values in np.maximum(parameters, [-np.inf, -np.inf, T1_STAR_MS[0]]).T)
    model = np.abs(a - b * np.exp(-TI / t1_star)).reshape(signal.shape)
    return model.astype(np.float32), parameters.reshape(*signal.shape[:-1], 3)


def register(images: np.ndarray, spacing_mm: float, times_ms: np.ndarray) -> np.ndarray:
    """Displacement (frame, 2, row, column) in pixels from the model's images into each frame."""
    _, _, _, _, shift = mdreg.fit(
        np.moveaxis(images, 0, -1).astype(np.float32),
        fit_image={"func": fitted, "TI": times_ms},
        fit_coreg={
            "package": "elastix",
            "spacing": spacing_mm,
            "return_deformation": True,
            "parallel": False,
            "FinalGridSpacingInPhysicalUnits": CONTROL_SPACING_MM,
        },
    )
    return np.moveaxis(shift, (2, 3), (0, 1)).astype(np.float32)


def main() -> None:
    """Register sets until the input ends."""
    for line in sys.stdin:
        source, target = line.rstrip("\n").split("\t")
        with np.load(source) as data:
            answer = register(data["images"], float(data["spacing_mm"]), data["inversion_times_ms"])
        np.savez(target, displacement=answer)
        print("done", flush=True)


if __name__ == "__main__":
    main()
