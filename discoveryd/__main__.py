"""``python -m discoveryd``."""

import sys

from discoveryd.daemon import main

sys.exit(main())
