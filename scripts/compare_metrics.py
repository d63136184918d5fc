"""Compare trocar's metrics with the reference libraries on the same masks: values and time.

    python scripts/compare_metrics.py [--repeats 3] [--cases 20]

References that can be imported are compared, the others named as missing: MedPy, MONAI, DeepMind's surface-distance
and the DAVIS 2017 evaluator. None of them is a dependency of trocar.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.metrics import assd, boundary_f, dice, hd95, iou, nsd

Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]
Spacing = tuple[float, ...]
Measure = Callable[[NDArray[np.bool_], NDArray[np.bool_], Spacing], float]


def blobs(rng: np.random.Generator, shape: tuple[int, ...], radius: float) -> Masks:
    """A lumpy ball and a guess at it: moved a little, with lumps of its own."""
    places = np.indices(shape, np.float32)
    middle = np.array(shape) / 2

    def ball() -> NDArray[np.bool_]:
        centre = middle + rng.uniform(-0.05, 0.05, len(shape)) * radius
        lumps = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 6)
        lumps *= 0.1 * radius / lumps.std()
        far = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(places, centre, strict=True)))
        return far + lumps < radius

    return ball(), ball()


def references() -> dict[str, tuple[Measure, str, Measure, float]]:
    """What is measured: our function, the library, its function, and by how much they may differ."""
    rows: dict[str, tuple[Measure, str, Measure, float]] = {}
    medpy, monai, torch = wanted("medpy.metric.binary"), wanted("monai.metrics"), wanted("torch")
    deepmind, davis = wanted("surface_distance"), wanted("davis2017.metrics")
    if medpy:
        rows["Dice"] = lambda p, g, s: dice(p, g).value, "MedPy", lambda p, g, s: medpy.dc(p, g), 1e-12
        rows["HD95"] = lambda p, g, s: hd95(p, g, s).value, "MedPy", lambda p, g, s: medpy.hd95(p, g, s), 1e-12
        rows["ASSD"] = lambda p, g, s: assd(p, g, s).value, "MedPy", lambda p, g, s: medpy.assd(p, g, s), 1e-12
    if monai and torch:

        def batch(mask: NDArray[np.bool_]) -> Any:
            return torch.from_numpy(mask[None, None].astype(np.float32))

        def monai_hd95(p: NDArray[np.bool_], g: NDArray[np.bool_], s: Spacing) -> float:
            return float(
                monai.compute_hausdorff_distance(batch(p), batch(g), include_background=True, percentile=95, spacing=s)
            )

        def monai_nsd(p: NDArray[np.bool_], g: NDArray[np.bool_], s: Spacing) -> float:
            return float(monai.compute_surface_dice(batch(p), batch(g), [2.0], include_background=True, spacing=s))

        rows["HD95 "] = lambda p, g, s: hd95(p, g, s, "monai").value, "MONAI", monai_hd95, 1e-4
        rows["NSD by voxels"] = lambda p, g, s: nsd(p, g, s, 2.0, "monai").value, "MONAI", monai_nsd, 1e-5
    if deepmind:

        def deepmind_hd95(p: NDArray[np.bool_], g: NDArray[np.bool_], s: Spacing) -> float:
            found = deepmind.compute_surface_distances(g, p, s)
            return float(deepmind.compute_robust_hausdorff(found, 95))

        def deepmind_nsd(p: NDArray[np.bool_], g: NDArray[np.bool_], s: Spacing) -> float:
            found = deepmind.compute_surface_distances(g, p, s)
            return float(deepmind.compute_surface_dice_at_tolerance(found, 2.0))

        rows["HD95  "] = lambda p, g, s: hd95(p, g, s, "deepmind").value, "DeepMind", deepmind_hd95, 1e-12
        rows["NSD"] = lambda p, g, s: nsd(p, g, s, 2.0).value, "DeepMind", deepmind_nsd, 1e-12
    if davis:
        rows["J"] = lambda p, g, s: iou(p, g).value, "DAVIS", lambda p, g, s: float(davis.db_eval_iou(g, p)), 1e-12
        rows["F"] = (
            lambda p, g, s: boundary_f(p, g).value,
            "DAVIS",
            lambda p, g, s: float(davis.db_eval_boundary(g, p)),
            1e-12,
        )
    return rows


def revive_old_names() -> None:
    """Some releases of the references use names that NumPy and SciPy have dropped since."""
    for name, value in (("Inf", np.inf), ("NaN", np.nan), ("float", float), ("int", int), ("bool", bool)):
        if not hasattr(np, name):
            setattr(np, name, value)
    for name in ("filters", "morphology"):
        if not hasattr(ndimage, name):
            setattr(ndimage, name, ndimage)


def wanted(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        print(f"{name} is not installed: its rows are left out", file=sys.stderr)
        return None


def timed(measure: Measure, cases: list[Masks], spacing: Spacing, repeats: int) -> tuple[list[float], float]:
    """The values, and the least time in ms that a case took on average."""
    best = np.inf
    values: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        values = [measure(*case, spacing) for case in cases]
        best = min(best, time.perf_counter() - start)
    return values, 1000 * best / len(cases)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cases", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    revive_old_names()
    rng = np.random.default_rng(0)
    frames = [blobs(rng, (1080, 1920), 160) for _ in range(options.cases)]
    volumes = [blobs(rng, (48, 256, 256), 20) for _ in range(options.cases)]
    print("| masks | measure | library | largest difference | library, ms | trocar, ms | times as fast |")
    print("|---|---|---|---|---|---|---|")
    wrong = 0
    for masks, cases, spacing in (("1080 x 1920", frames, (1.0, 1.0)), ("48 x 256 x 256", volumes, (2.5, 0.8, 0.8))):
        for name, (ours, library, theirs, allowed) in references().items():
            if library == "DAVIS" and len(spacing) == 3:
                continue
            ours(*cases[0], spacing)
            values, own_ms = timed(ours, cases, spacing, options.repeats)
            expected, their_ms = timed(theirs, cases, spacing, options.repeats)
            off = max(abs(a - b) for a, b in zip(values, expected, strict=True))
            wrong += off > allowed
            print(
                f"| {masks} | {name.strip()} | {library} | {off:.1e} | {their_ms:.1f} | {own_ms:.1f} | "
                f"{their_ms / own_ms:.1f} |",
                flush=True,
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
