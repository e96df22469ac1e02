"""``python -m discoveryd.ctl`` is ``discoveryctl``."""

import sys

from discoveryd.ctl import main

sys.exit(main())
