"""What the metadata of the package names for SQLAlchemy, by which it finds the plugins.

No other package has this file. So what it says is read even where another one has written over
`plugin`, and it says so.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {"RdsIamPlugin": "plugin", "RdsSecretPlugin": "secret_plugin"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = f"{__package__}.{_MODULES[name]}"
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        from sqlalchemy_rds_iam._owners import warning  # takes a look at all that is installed

        if said := warning():
            raise ImportError(f"{module}.{name} cannot be loaded; {said}") from error
        raise
