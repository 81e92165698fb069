"""``python -m jupyter_jobprogress`` is ``jupyter jobprogress``."""

from __future__ import annotations

import sys

from jupyter_jobprogress.cli.main import main

sys.exit(main())
