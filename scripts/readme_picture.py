"""Draw the README's picture from a run of `trocar demo`: readme_picture.py trocar-demo docs/images/demo.jpg"""

import sys
from pathlib import Path

import cv2
import numpy as np

from trocar.bench.demo import demo_source
from trocar.formats.label_png import read_label_pngs
from trocar.formats.overlay import draw_overlay

run, out = Path(sys.argv[1]), sys.argv[2]
source, masks = demo_source(), list(read_label_pngs(run / "masks"))
places = (0, len(masks) // 2, len(masks) - 1)
panels = [cv2.resize(draw_overlay(source[place].image, masks[place]), (400, 400)) for place in places]
cv2.imwrite(out, cv2.cvtColor(np.hstack(panels), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
