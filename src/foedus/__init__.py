"""Foedus: several organisations, one model, from a signed accord to a release that anyone can verify.

What `__all__` names is the Python interface; each name is loaded when it is first used, so `import foedus` is quick
and needs no machine learning. The rooms below (`foedus.accord`, `foedus.release` …) are for those who build on them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foedus.accord.explain import explain
    from foedus.api.consortium import Practice, run_demo
    from foedus.api.trust import Release, read_accord, verify
    from foedus.core.errors import FoedusError
    from foedus.core.messages import set_language

__all__ = ["FoedusError", "Practice", "Release", "explain", "read_accord", "run_demo", "set_language", "verify"]

__version__ = "0.1.0"

_HOMES = {
    "FoedusError": "foedus.core.errors",
    "Practice": "foedus.api.consortium",
    "Release": "foedus.api.trust",
    "explain": "foedus.accord.explain",
    "read_accord": "foedus.api.trust",
    "run_demo": "foedus.api.consortium",
    "set_language": "foedus.core.messages",
    "verify": "foedus.api.trust",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'foedus' has no attribute {name!r}")
    with import_module("foedus.api.extra").needs(f"foedus.{name}"):
        value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
