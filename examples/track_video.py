"""Prompt an object once with a box and write its masks: track_video.py VIDEO X0,Y0,X1,Y1 OUT"""

import sys

from trocar import Box, Session, load, open_source, write_masks

video, corners, out = sys.argv[1:]
session = Session(load("nano"), open_source(video))
session.add(Box(*(float(value) for value in corners.split(","))), frame=0, object_id=1)
for path in write_masks(out, session.propagate(), formats=("png", "overlay")):
    print(path)
