"""Gates: a clause of the accord and signed evidence in, a verdict out. Plain Python, so an auditor recomputes every
verdict.

Measuring evidence is not done here (that is `examine/`); deciding what may be released is not done here either
(`release/`). A gate covers what its clause says and no more: `utility` and `no-harm` compare intervals that others
measured, `artefact` reads the files themselves. What is missing is inconclusive, never a pass, and no gates at all
clear nothing.
"""

from foedus.gates.artefact import ArtefactFacts, inspect
from foedus.gates.judge import Clearance, all_clear, cleared, judge, waiver_subject

__all__ = ["ArtefactFacts", "Clearance", "all_clear", "cleared", "inspect", "judge", "waiver_subject"]
