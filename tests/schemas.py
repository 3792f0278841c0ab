"""jsonschema for tests, without its checks of formats.

None of our schemas is checked for formats. On its import jsonschema asks for ``rfc3987_syntax``, which
JupyterLab brings along and which then builds 38 grammars: two seconds of a processor, each time.
"""

from __future__ import annotations

import importlib
import sys

_GRAMMARS = "rfc3987_syntax"

_is_imported = _GRAMMARS in sys.modules
sys.modules.setdefault(_GRAMMARS, None)  # as if it were not installed
try:
    jsonschema = importlib.import_module("jsonschema")
finally:
    if not _is_imported:
        del sys.modules[_GRAMMARS]

Draft202012Validator = jsonschema.Draft202012Validator
ValidationError = jsonschema.ValidationError
validate = jsonschema.validate
