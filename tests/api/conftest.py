"""One practice consortium, made by running the README's own lines on a tiny base model."""

import csv
import re
from pathlib import Path

import pytest

from federation import LABELS, taught_base, texts
from foedus.core.messages import set_language
from foedus.state.base import base_digest

README = Path(__file__).parents[2] / "README.md"
BANKS = ("bank-a", "bank-b", "bank-c")


def accord_text(custody="one-process"):
    base = taught_base()
    members = "".join(f"  - {{name: {bank}, roles: [contributor]}}\n" for bank in BANKS)
    grants = "".join(f"    - {{member: {bank}, uses: [customer-service], until: 2035-12-31}}\n" for bank in BANKS)
    return f"""accord: foedus/v1
name: bank-intents
custody: {custody}
purpose: {{summary: Understand what bank customers ask., uses: [customer-service]}}
valid: {{first: 2020-01-01, last: 2035-12-31}}
coordinator: {{name: hub}}
members:
{members}ratification: all
amendment: {{quorum: 2/3}}
base: {{source: "folder:{base}", pin: "{base_digest(base)}", licence: Apache-2.0}}
task: {{name: text-classification, labels: [{", ".join(LABELS)}], max_tokens: 32}}
data:
  grants:
{grants}training:
  method: {{name: lora, rank: 4, targets: [query, value]}}
  rounds: 2
  craft: {{epochs: 2, batch_size: 8, learning_rate: 0.004, head_learning_rate: 0.02, dropout: 0}}
  seed: test
aggregation: {{min_members: 2}}
credit: {{name: aumann-shapley, points: 5}}
evaluation: {{replicates: 100}}
gates:
  - {{name: utility, metric: accuracy, minimum: 0.1, min_n: 5}}
  - {{name: artefact}}
release: {{quorum: 2/3, licence: Apache-2.0}}
"""


def python_lines(page):
    [block] = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return block


def write_inputs(folder):
    (folder / "accord.yaml").write_text(accord_text())
    for bank in BANKS:
        with (folder / f"{bank}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("text", "label"))
            rows.writerows((one.text, one.label) for one in texts(bank, "test", 90))


@pytest.fixture(scope="session")
def played(tmp_path_factory):
    """The folder in which the README's lines ran, and the names that they left."""
    folder = tmp_path_factory.mktemp("readme")
    write_inputs(folder)
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(python_lines(README), "README.md", "exec"), names)  # noqa: S102 - the README's own lines
    return folder, names


@pytest.fixture
def chinese():
    set_language("zh")
    yield
    set_language("en")
