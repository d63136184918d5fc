"""`python -m trocar` is `trocar`."""

import sys

from trocar.cli import main

sys.exit(main())
