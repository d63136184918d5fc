"""What the module does without its window.

`grid`, `volume_file`, `background` and `remote` are plain Python and NumPy; `scene` and `annotation` speak to the MRML
scene. Of trocar they need `trocar.client` and `trocar.wire` alone.
"""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("trocar") is None:
    # The built extension has the client beside this folder; from a clone it is the repository's own.
    sys.path.append(str(Path(__file__).resolve().parents[3] / "src"))
