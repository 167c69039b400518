"""The whole life on real data, in one process: accord, cards, training, credit, gates, votes, a verified release.

`scenarios` and `sample` need the base installation; `story` trains, and is imported by who tells it.
"""

from foedus.demo.scenarios import SCENARIOS, Scenario, opening, scenario

__all__ = ["SCENARIOS", "Scenario", "opening", "scenario"]
