"""One scene, several memory policies: each frame is encoded once, then every policy takes its object on by one frame.

The target is prompted once, with the tight box of the first frame. What is scored is what the user gets: masks of
policies that hold them back are scored when they are handed out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from trocar.bench.watched import WatchedPolicy
from trocar.datasets.absence_scenes import TARGET, RememberingScene
from trocar.memory import MemoryPolicy
from trocar.memory.seam import MemoryEntry
from trocar.metrics import boundary_f, iou
from trocar.model.network import Network
from trocar.prompts import tight_box
from trocar.track.features import Features
from trocar.track.order import Pass
from trocar.track.propagate import propagate
from trocar.track.session import Session

COVERED = 0.1  # less of a look-alike under the mask is a touch, not a switch

Mask = NDArray[np.bool_]


class Scores:
    """What the masks of one policy are worth, frame by frame.

    Args:
        scene: says which frames are those after the return, and whether there are look-alikes.
    """

    def __init__(self, scene: RememberingScene) -> None:
        self._scene = scene
        self._j_f: dict[int, tuple[float, float]] = {}
        self._switched: list[bool] = []
        self._false_px: list[int] = []

    def add(self, frame: int, mask: Mask, labels: NDArray[np.uint8]) -> None:
        """Score the mask of the next frame against its labels. The prompted frame, 0, does not count."""
        if frame == 0:
            return
        truth = labels == TARGET
        self._j_f[frame] = (iou(mask, truth).value, boundary_f(mask, truth).value)
        if not truth.any():
            self._false_px.append(int(mask.sum()))
        if self._scene.look_alikes:
            self._switched.append(on_look_alike(mask, labels))

    def figures(self) -> dict[str, float | None]:
        """J&F; J&F after the return; look-alikes taken for the target: frames, and how often it began; and of the
        frames without the target the share on which something is found, and how many pixels on average."""
        after = [score for frame, score in self._j_f.items() if frame in self._scene.returned]
        began = [now and not before for before, now in zip([False, *self._switched], self._switched, strict=False)]
        alike = self._scene.look_alikes
        return {
            "j_and_f": _mean([value for score in self._j_f.values() for value in score]),
            "j_and_f_returned": _mean([value for score in after for value in score]),
            "switched_frames": sum(self._switched) if alike else None,
            "switches": sum(began) if alike else None,
            "false_presence": _mean([float(area > 0) for area in self._false_px]),
            "false_area_px": _mean(self._false_px),
        }


def on_look_alike(mask: Mask, labels: NDArray[np.uint8]) -> bool:
    """Whether a mask covers more of a look-alike than of the target, in pixels, and at least a tenth of it."""
    shown = np.bincount(labels.ravel(), minlength=TARGET + 2)
    under = np.bincount(labels[mask], minlength=len(shown))
    taken = (under > under[TARGET]) & (under >= COVERED * shown)
    return bool(taken[TARGET + 1 :].any())


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


class Follower:
    """One policy that follows the target through a scene, a frame at a time.

    Args:
        network: in its evaluation mode.
        features: shared with the other policies.
        scene: whose first frame is prompted with the target's tight box.
        policy: a fresh instance.
    """

    def __init__(self, network: Network, features: Features, scene: RememberingScene, policy: MemoryPolicy) -> None:
        self.watched = WatchedPolicy(policy)
        self.scores = Scores(scene)
        self.seconds = 0.0
        self._scene = scene
        session = Session(network, scene, policy)
        session.add(tight_box(scene.truth(0) == TARGET))
        self._track = session.tracks[1]
        session.close()
        stretch = Pass("forward", 0, len(scene) - 1, len(scene), scene.geometry.size)
        self._track.begin(self.watched, stretch.visit(0))
        self._loop = propagate(network, features, session.tracks, stretch, session.options.step)

    def follow(self) -> Iterator[tuple[int, Mask]]:
        """Go one frame on, whose features should be there already; gives the masks that are settled now."""
        start = time.perf_counter()
        frame, [outcome] = next(self._loop)
        self.seconds += time.perf_counter() - start
        lineage = self._track.lineage
        lineage.note(frame, outcome.records, self.watched.spec.lag)
        while lineage.oldest is not None and (lineage.settled or frame == len(self._scene) - 1):
            yield lineage.oldest, self._mask(lineage.take())

    def figures(self) -> dict[str, float | None]:
        """What the masks are worth and what they cost: `rows_per_second` is the step's own time without the image
        encoder, a row being a frame of one hypothesis; `policy_ms` the time per frame in the policy's code."""
        rows = len(self.watched.read_sizes)
        return self.scores.figures() | {
            "rows": rows,
            "rows_per_second": rows / self.seconds,
            "policy_ms": 1000 * self.watched.seconds / len(self._scene),
            "read_mean": _mean(self.watched.read_sizes),
            "read_max": max(self.watched.read_sizes),
            "kept_max": self.watched.kept,
        }

    def _mask(self, entry: MemoryEntry) -> Mask:
        size = self._scene.geometry.size
        large = F.interpolate(entry.logits[None, None].float(), size=size, mode="bilinear", align_corners=False)
        return np.asarray((large[0, 0] > 0).cpu().numpy())


def follow_scene(
    network: Network,
    scene: RememberingScene,
    policies: Mapping[str, MemoryPolicy],
    report: Callable[[int], object] = lambda done: None,
) -> dict[str, dict[str, float | None]]:
    """Let every policy follow the target of a scene.

    Args:
        network: encodes each frame once, for all of them.
        scene: of two frames or more; the first shows the target.
        policies: name -> a fresh instance.
        report: told the number of frames done after each.

    Returns:
        The figures of each policy, see `Scores.figures` and `Follower.figures`; None where a figure has no meaning.
    """
    network.eval()
    features = Features(network, scene, network.config.image_size)
    truths: list[NDArray[np.uint8]] = []
    with torch.inference_mode():
        followers = {name: Follower(network, features, scene, policy) for name, policy in policies.items()}
        for frame in range(len(scene)):
            features(frame)
            truths.append(scene.truth(frame))
            for follower in followers.values():
                for settled, mask in follower.follow():
                    follower.scores.add(settled, mask, truths[settled])
            report(frame + 1)
    return {name: follower.figures() for name, follower in followers.items()}
