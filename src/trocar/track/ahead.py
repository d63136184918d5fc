"""The next frame's features, made in a thread of their own while a frame is tracked.

Reading, resizing and encoding a frame need nothing of what is tracked, so that on a machine with a core to spare the
two go side by side. The results are the same. A frame is encoded in vain at the end, when nobody asks for more, and
where an economy begins to leave frames out: one that may be left out is encoded early if the last such one was needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from torch import Tensor

from trocar.model.network import Network
from trocar.model.shares import share_threads, take_share
from trocar.model.tensors import ImageFeatures
from trocar.track.entries import StepSettings
from trocar.track.features import Features
from trocar.track.order import Pass
from trocar.track.propagate import Outcome, propagate
from trocar.track.track import Track


def propagate_ahead(
    network: Network,
    features: Callable[[int], ImageFeatures],
    tracks: Mapping[int, Track],
    stretch: Pass,
    settings: StepSettings,
) -> Iterator[tuple[int, list[Outcome]]]:
    """`propagate`, with each frame read and encoded while the one before it is tracked.

    The source is then read from another thread, also while the caller has the results of a frame in hand: share it with
    others only if it allows that, as those of `open_source` do. Features that are not `Features` are taken as they are,
    and so are all under autocast, which another thread would not know of.
    """
    autocast = any(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda"))
    if autocast or not isinstance(features, Features) or len(stretch) < 2:
        yield from propagate(network, features, tracks, stretch, settings)
        return

    def plan(frame: int) -> bool | None:
        waiting = (one for one in tracks.values() if frame not in one.prompted)
        needed = any(stretch.takes_part(frame, list(one.prompted)) for one in waiting)
        return settings.economy.on_grid(frame) if needed else None

    with Ahead(features, stretch, plan) as early:
        for found in propagate(network, early, tracks, stretch, settings):
            early.rest()
            yield found


class Ahead:
    """Stands in for `Features` while a pass is gone through; to be used in a `with` block, which ends its thread.

    An error in a frame is raised when that frame is asked for, not before. While a frame is tracked the thread computes
    with half the threads that PyTorch was given and the tracking with the rest, so that neither waits for processors
    that the other one has; while nothing is tracked it has them all.

    Args:
        features: what makes them.
        stretch: the pass, which says what comes next.
        plan: whether a frame will be encoded (True), only looked at (False), or not needed (None).
    """

    def __init__(self, features: Features, stretch: Pass, plan: Callable[[int], bool | None]) -> None:
        self._features = features
        self._stretch = stretch
        self._plan = plan
        self._inference, self._gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        self._threads = torch.get_num_threads()
        self._tracking = False
        self._frame = stretch.start  # the one that is being tracked,
        self._encoded = False  # and whether its features were asked for
        self._needed = False  # whether those of the last frame were that was to be looked at alone
        self._made: dict[tuple[int, bool], Future[ImageFeatures | Tensor]] = {}
        self._worker = ThreadPoolExecutor(1, "trocar-ahead", self._begin)

    def __call__(self, frame: int) -> ImageFeatures:
        """The features of one frame, F = 1, and the beginning of the next one's."""
        found = self._get(frame, encoded=True)
        assert isinstance(found, ImageFeatures)
        return found

    def view(self, frame: int) -> Tensor:
        """As `Features.view`."""
        found = self._get(frame, encoded=False)
        assert isinstance(found, Tensor)
        return found

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)
        self.rest()

    def rest(self) -> None:
        """Say that nothing is tracked until features are asked for again."""
        self._tracking = False
        if self._threads > 1:
            share_threads()
            torch.set_num_threads(self._threads)  # parts of PyTorch know one number for all threads: the last one set

    def _begin(self) -> None:
        if self._threads > 1:
            share_threads(now=lambda: self._threads // 2 if self._tracking else self._threads)
            take_share()

    def _track(self) -> None:
        self._tracking = True
        if self._threads > 1:
            share_threads(together=self._threads)
            torch.set_num_threads(self._threads - self._threads // 2)

    def _get(self, frame: int, encoded: bool) -> ImageFeatures | Tensor:
        sign = self._stretch.sign
        if frame != self._frame:
            if self._plan(self._frame) is False:
                self._needed = self._encoded
            self._frame, self._encoded = frame, False
        self._encoded |= encoded
        self._made = {key: made for key, made in self._made.items() if (key[0] - frame) * sign >= 0}
        wanted = self._submit(frame, encoded)
        following = frame + sign
        if (self._stretch.stop - following) * sign >= 0:
            planned = self._plan(following)
            if planned is not None:
                self._submit(following, planned)
                if self._needed:
                    self._submit(following, True)
        self.rest()
        made = wanted.result()
        self._track()
        return made

    def _submit(self, frame: int, encoded: bool) -> Future[ImageFeatures | Tensor]:
        key = frame, encoded
        if key not in self._made:
            self._made[key] = self._worker.submit(self._make, frame, encoded)
        return self._made[key]

    def _make(self, frame: int, encoded: bool) -> ImageFeatures | Tensor:
        with torch.inference_mode(self._inference), torch.set_grad_enabled(self._gradients):
            return self._features(frame) if encoded else self._features.view(frame)
