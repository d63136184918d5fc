"""Protocols of the field, one file each: which cases, how they are scored, what the table says."""

from __future__ import annotations

#: Name on the command line -> the module of this package whose `PROTOCOL` class it is.
PROTOCOLS: dict[str, str] = {
    "davis17": "davis17",
    "endovis-cross": "endovis_cross",
    "endovis17": "endovis17",
    "endovis18": "endovis18",
    "flare22": "flare22",
    "med-2d": "med_2d",
    "med-3d": "med_3d",
    "med-video": "med_video",
    "medsam-2": "medsam_2",
    "one-prompt": "one_prompt",
    "sa-sv": "sa_sv",
    "vocalfolds": "vocalfolds",
}
