"""What the children of a script under ``jupyter jobprogress run`` import when they start: PYTHONPATH leads here.

Python imports one module of this name. The next one on the path, which a system or a user may have, is imported, too.
"""

import importlib
import sys
from os.path import dirname

sys.path[:] = [folder for folder in sys.path if folder != dirname(__file__)]
_own = sys.modules.pop("sitecustomize")
try:
    importlib.import_module("sitecustomize")
except ImportError as exc:
    if exc.name != "sitecustomize":
        raise
finally:
    sys.modules.setdefault("sitecustomize", _own)

try:
    from jupyter_jobprogress.integrations.hook import install
except ImportError:
    pass  # an interpreter of another environment
else:
    install()
