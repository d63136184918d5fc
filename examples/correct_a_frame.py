"""Track, correct one frame with a click, and go on from there: correct_a_frame.py VIDEO X0,Y0,X1,Y1 FRAME X,Y"""

import sys

from trocar import Box, Point, Session, load, open_source

video, corners, frame, click = sys.argv[1:]
session = Session(load("nano"), open_source(video))
session.add(Box(*(float(value) for value in corners.split(","))), frame=0)
masks = {made.frame: made.masks[1] for made in session.propagate()}

x, y = (float(value) for value in click.split(","))
answer = session.add(Point(x, y), frame=int(frame)).masks[1]
changed = {made.frame: made.masks[1] for made in session.propagate(start=int(frame))}
assert (changed[int(frame)] == answer).all()  # tracking does not overwrite a correction
moved = sum((changed[at] != masks[at]).any() for at in changed)
print(f"the correction on frame {frame} changed {moved} of {len(changed)} frames from there on")
