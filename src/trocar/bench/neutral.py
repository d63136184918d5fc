"""The knobs that make each policy read, choose and keep exactly what `recent` does, in `corrected` mode.

With them nothing is left of a policy but SAM 2's window, so outputs are equal bit for bit. That tells the policy's idea
from its implementation: whatever differs with other knobs is the idea's doing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: Policy -> knobs. Those not named keep their defaults.
NEUTRAL: Mapping[str, Mapping[str, Any]] = {
    "recent": {},
    "divemem": {"capacity": 1},
    "distractor": {"drm": 1, "stride": 1, "slots": "distance", "skip_empty": False},
    "diverse_long_term": {"capacity": 0},
    "motion": {
        "motion_weight": 0.0,
        "min_object_score": 0.0,
        "memory_min_iou": -1.0,
        "memory_min_score": -math.inf,
        "slots": "distance",
    },
    "pruned": {"prune": 0},
    "self_sorting": {"bank": 0, "window": 6, "max_pointers": 16},
    "tree": {
        "pathways": 1,
        "min_iou": None,
        "gain_low": 1.0,
        "gain_high": 1.0,
        "slots": "distance",
        "pointer_code": "distance",
    },
}

#: Policies without such a setting, and why.
NEVER_NEUTRAL: Mapping[str, str] = {
    "none": "it reads nothing and counts every unprompted object as absent; it has no knobs",
}
