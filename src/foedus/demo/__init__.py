"""The whole life on real data, in one process: accord, cards, training, credit, gates, votes, a verified release."""

from foedus.demo.scenarios import SCENARIOS, Scenario, scenario
from foedus.demo.story import Ending, tell

__all__ = ["SCENARIOS", "Ending", "Scenario", "scenario", "tell"]
