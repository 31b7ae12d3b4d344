"""``python -m semirobust`` is the command line, also where nothing is installed."""

import sys

from semirobust.cli import main

sys.exit(main())
