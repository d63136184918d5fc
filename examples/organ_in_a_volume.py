"""Segment a structure from a box on one slice, both ways: organ_in_a_volume.py VOLUME X0,Y0,X1,Y1 SLICE OUT"""

import sys

from trocar import Box, Session, load, open_source, write_masks

volume, corners, place, out = sys.argv[1:]
session = Session(load("nano"), open_source(volume))
session.add(Box(*(float(value) for value in corners.split(","))), frame=int(place))
print(*write_masks(out, session.propagate("both"), formats=("nifti",)), sep="\n")
