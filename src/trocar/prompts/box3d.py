"""A box around an object in a volume."""

from __future__ import annotations

from dataclasses import dataclass, fields

from trocar.prompts.prompt import Box


@dataclass(frozen=True)
class Box3d:
    """A box in three dimensions, said in the plane that is prompted.

    Args:
        x0, y0, x1, y1: as in `Box`, on every slice of it.
        z0, z1: its first and its last slice.
    """

    x0: float
    y0: float
    z0: int
    x1: float
    y1: float
    z1: int

    def __post_init__(self) -> None:
        if not (self.x1 > self.x0 and self.y1 > self.y0 and self.z1 >= self.z0 >= 0):
            said = ",".join(f"{getattr(self, part.name):g}" for part in fields(self))
            raise ValueError(
                f"box {said} is empty: give x0,y0,z0,x1,y1,z1 with x1 > x0, y1 > y0 and z1 >= z0 >= 0; z counts slices"
            )

    @property
    def middle(self) -> int:
        """The slice in its middle."""
        return (self.z0 + self.z1) // 2

    @property
    def outline(self) -> Box:
        """The box on one slice."""
        return Box(self.x0, self.y0, self.x1, self.y1)

    @property
    def spans(self) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        """From where to where it reaches along slices, rows and columns, in pixel edges."""
        return (self.z0, self.z1 + 1), (self.y0, self.y1), (self.x0, self.x1)
