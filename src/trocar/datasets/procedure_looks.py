"""How the procedures of `procedure_scenes` look, and how often a raw corpus shows them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trocar.datasets.texture import OBJECTS, TISSUES, Material


@dataclass(frozen=True)
class Look:
    """One procedure's look.

    Args:
        ground: what fills the field.
        organs: what lies on it; of an eye, the iris and the pupil.
        view: the field of view: "full", "round" or "octagon".
        marks: dark lines of a training pad.
        folds: how densely folds of a hollow organ follow one another; 0 for a smooth wall.
        lumen: radius of its dark middle over the picture's side.
    """

    ground: Material
    organs: tuple[Material, ...] = ()
    view: str = "full"
    marks: int = 0
    folds: float = 0.0
    lumen: float = 0.0


def _flat(red: float, green: float, blue: float, cells: float = 3, vessels: int = 0) -> Material:
    """A quiet surface of one colour."""
    dark = (red * 0.82, green * 0.82, blue * 0.82)
    return Material(dark, (red, green, blue), cells=cells, vessels=vessels, relief=3, grain=3, gloss=0.4)


_SCLERA = _flat(226, 206, 196, vessels=16)
_TISSUE = TISSUES
LOOKS: dict[str, dict[str, Look]] = {
    "cataract": {
        "phacoemulsification": Look(_SCLERA, (_flat(104, 66, 38, 9), _flat(168, 74, 40))),
        "lens implantation": Look(_SCLERA, (_flat(110, 130, 150, 9), _flat(70, 44, 60))),
        "capsulorhexis": Look(_flat(206, 170, 160, vessels=20), (_flat(74, 52, 36, 9), _flat(206, 200, 180))),
        "trabeculectomy": Look(_flat(214, 120, 110, vessels=30), (_flat(90, 110, 80, 9), _flat(20, 18, 24))),
        "vitrectomy": Look(_flat(40, 52, 92), (_flat(120, 60, 30), _flat(220, 130, 60))),
    },
    "robotic": {
        "prostatectomy": Look(_TISSUE["muscle"], (_TISSUE["fat"], _TISSUE["inflamed"])),
        "suturing pad": Look(_flat(228, 170, 140), (), marks=3),
        "peg transfer": Look(_flat(60, 70, 74), (_flat(40, 150, 70), _flat(210, 60, 50))),
        "partial nephrectomy": Look(_TISSUE["liver"], (_TISSUE["fat"], OBJECTS["gauze"])),
        "thymectomy": Look(_TISSUE["fascia"], (_TISSUE["fat"], _flat(190, 120, 150))),
        "needle passing": Look(_flat(80, 110, 160), (_flat(230, 220, 90),), marks=5),
    },
    "endoscopy": {
        "colonoscopy": Look(_TISSUE["mucosa"], view="octagon", folds=9, lumen=0.09),
        "gastroscopy": Look(_flat(222, 130, 92, vessels=4), view="octagon", folds=4, lumen=0.05),
        "capsule endoscopy": Look(_flat(206, 170, 84, 18), view="round", folds=0, lumen=0.03),
        "bronchoscopy": Look(_TISSUE["pale mucosa"], view="round", folds=16, lumen=0.16),
        "cystoscopy": Look(_flat(220, 190, 176, vessels=30), view="round"),
        "pituitary surgery": Look(_TISSUE["inflamed"], view="round", folds=2, lumen=0.12),
        "laryngoscopy": Look(_TISSUE["fold"], view="full", folds=3, lumen=0.12),
    },
    "laparoscopy": {
        "cholecystectomy": Look(_TISSUE["liver"], (_TISSUE["gallbladder"], _TISSUE["fat"])),
        "hysterectomy": Look(_TISSUE["bowel"], (_flat(196, 120, 110), _TISSUE["muscle"])),
        "gastric bypass": Look(_TISSUE["fat"], (_TISSUE["bowel"], _TISSUE["liver"]), view="round"),
        "sigmoidectomy": Look(_TISSUE["fat"], (_TISSUE["bowel"], _TISSUE["bowel"])),
        "appendectomy": Look(_TISSUE["bowel"], (_TISSUE["inflamed"], _TISSUE["fat"]), view="round"),
        "inguinal hernia": Look(_TISSUE["fascia"], (OBJECTS["plastic"], _TISSUE["fat"])),
        "splenectomy": Look(_flat(110, 44, 74), (_TISSUE["fat"], OBJECTS["clot"])),
        "adrenalectomy": Look(_TISSUE["granular"], (_TISSUE["liver"], _TISSUE["fat"])),
        "liver resection": Look(_TISSUE["charred"], (_TISSUE["liver"], replace(_TISSUE["fascia"], vessels=0))),
        "ovarian cystectomy": Look(_TISSUE["pale mucosa"], (_flat(170, 180, 200), _TISSUE["inflamed"]), view="round"),
    },
}
_DOMAIN_SHARES = {"cataract": 0.06, "robotic": 0.09, "endoscopy": 0.2, "laparoscopy": 0.65}
#: (domain, procedure) -> its share of a raw corpus. Laparoscopy dominates, as in SurgRec's section 5.3, and within a
#: domain the n-th procedure has a share of 1 / n^1.5 (Zipf's law, steeper). The paper prints no shares of its own.
SHARES: dict[tuple[str, str], float] = {
    (domain, procedure): share * (1 / rank**1.5) / sum(1 / n**1.5 for n in range(1, len(LOOKS[domain]) + 1))
    for domain, share in _DOMAIN_SHARES.items()
    for rank, procedure in enumerate(LOOKS[domain], 1)
}
