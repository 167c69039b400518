"""What records write in words of the code, in the reader's language: parts of the numerics, a gate's threshold.

What the catalogue has no words for is shown as it stands: versions, and the parts of other releases of Foedus.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from foedus.core.messages import Language, catalogue, language, say

__all__ = ["numerics_text", "threshold_text"]

_OF_FILES = re.compile(r"<= ([0-9]{1,18}) bytes, safetensors and text, all values finite")
"""The threshold of the gate on files, as its verdicts have it (`gates.artefact`)."""


def numerics_text(numerics: Mapping[str, str], lang: Language | None = None) -> list[tuple[str, str]]:
    """Each part of a run's numerics with its value."""
    known = catalogue("report", lang or language())
    names, values = known["numeric"], known["numeric-value"]
    return [(str(names.get(name, name)), str(values.get(value, value))) for name, value in numerics.items()]


def threshold_text(threshold: str, lang: Language | None = None) -> str:
    """A verdict's threshold: that on files in words, one on a figure as it is (`>= 0.8`)."""
    found = _OF_FILES.fullmatch(threshold)
    return say("report.threshold-files", size=found[1], lang=lang or language()) if found else threshold
