"""The accord on its way from a draft to a plan: read, check, explain, compare, amend, and decide what may be asked.

No torch, no network and no clock: an accord is judged by what it says.
"""

from foedus.accord.amend import amended
from foedus.accord.check import findings, findings_on
from foedus.accord.diff import Change, difference
from foedus.accord.explain import explain, sentences
from foedus.accord.finding import Finding
from foedus.accord.permit import in_force_on, permit
from foedus.accord.plan import compile_plan
from foedus.accord.reach import reach, reach_findings, require_reach
from foedus.accord.read import Draft, load_accord, open_accord, read_accord, read_draft
from foedus.accord.schema import json_schema

__all__ = [
    "Change",
    "Draft",
    "Finding",
    "amended",
    "compile_plan",
    "difference",
    "explain",
    "findings",
    "findings_on",
    "in_force_on",
    "json_schema",
    "load_accord",
    "open_accord",
    "permit",
    "reach",
    "reach_findings",
    "read_accord",
    "read_draft",
    "require_reach",
    "sentences",
]
