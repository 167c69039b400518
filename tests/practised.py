"""A practice consortium made and used through the command line: a tiny base model, rows of the packaged demo."""

from __future__ import annotations

import atexit
import csv
import io
import json
import os
import re
import shutil
import tempfile
from collections import defaultdict
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from unittest.mock import patch

from foedus.cli.main import run
from foedus.core.messages import set_language
from foedus.demo.scenarios import scenario
from foedus.state.base import base_digest
from tiny import tiny_base

MEMBERS = ("bank-a", "bank-b", "bank-c")
LABELS = ("age_limit", "change_pin", "exchange_rate")
WORDS = ("age", "old", "open", "children", "change", "pin", "where", "exchange", "rate", "rates", "currency")
PARTS = {"train": 4, "validation": 1, "test": 2}
ACCORD = """\
accord: foedus/v1
name: practice-intents
custody: one-process
purpose: {{summary: Understand what customers ask., uses: [customer-service], prohibited: []}}
valid: {{first: 2026-01-01, last: 2099-12-31}}
coordinator: {{name: hub}}
members:
{members}
base: {{source: "folder:{base}", pin: "{pin}", licence: Apache-2.0}}
task: {{name: text-classification, labels: [{labels}], max_tokens: 64}}
data:
  grants:
{grants}
  smallest_cell: 2
training:
  method: {{name: lora, rank: 4, targets: [query, value], combine: alternate}}
  rounds: 2
  craft: {{batch_size: 8, learning_rate: 0.01, head_learning_rate: 0.02, dropout: 0}}
  seed: practice
aggregation: {{combine: {{name: mean}}, outer: {{name: plain}}, min_members: 2, deadline_seconds: 600}}
evaluation: {{replicates: 100}}
gates:
  - {{name: utility, metric: accuracy, minimum: 0.1, min_n: 9}}
  - {{name: no-harm, metric: accuracy, margin: 0.99, min_n: 5}}
  - {{name: artefact}}
release: {{form: folded, quorum: 2/3, licence: Apache-2.0}}
"""


@dataclass
class Answer:
    """What one call printed, and how it ended."""

    code: int
    out: str
    err: str
    data: dict = field(default_factory=dict)


def foedus(*words, at=Path(), env=None, as_json=True):
    """One call of `foedus` in a folder; its last line as data where it is JSON."""
    out, err = io.StringIO(), io.StringIO()
    arguments = [str(word) for word in words] + (["--json"] if as_json else [])
    known = {"FOEDUS_KNOWN": str((shared() if at == Path() else Path(at).resolve()) / "known.json")}
    with redirect_stdout(out), redirect_stderr(err), chdir(at), patch.dict(os.environ, known):
        code = run(arguments, env or {})
    set_language("en")
    lines = out.getvalue().strip().splitlines()
    return Answer(code, out.getvalue(), err.getvalue(), json.loads(lines[-1]) if as_json and lines else {})


def done(*words, **options):
    """A call that must end with 0; its data."""
    answer = foedus(*words, **options)
    assert answer.code == 0, f"{words}\n{answer.out}\n{answer.err}"
    return answer.data


def write_rows(home, members=MEMBERS, skip=(), parts=PARTS):
    """Each member's CSV files and data.yaml: rows of three labels, dealt out; `skip` holds (member, label) left out."""
    texts = defaultdict(list)
    for row in scenario("banking").rows():
        texts[row.label].append(row.text)
    for number, member in enumerate(members):
        files = []
        for part, count in parts.items():
            lines = []
            for label in LABELS:
                start = number * sum(parts.values())
                mine = sorted(set(texts[label]))[start : start + sum(parts.values())]
                offset = {"train": 0, "validation": parts["train"], "test": parts["train"] + parts["validation"]}[part]
                if (member, label) not in skip:
                    lines += [(text, label) for text in mine[offset : offset + count]]
            with (home / member / f"{part}.csv").open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([("text", "label"), *lines])
            files.append(f"  {part}: {part}.csv")
        head = "data: foedus/v1\nname: questions\ncolumns: {text: text, label: label}\nparts:\n"
        tail = "\nsource: BANKING77\nlicence: CC-BY-4.0\nconsent: published\n"
        (home / member / "data.yaml").write_text(head + "\n".join(files) + tail)


def drawn_up(home, base, changes=()):
    """Workspaces below `home` with rows and an accord to sign. `changes`: pairs of a pattern and what replaces it."""
    done("new", home, "--practice", len(MEMBERS), "--names", ",".join(MEMBERS))
    write_rows(home)
    members = "\n".join(f"  - {{name: {one}, roles: [contributor]}}" for one in MEMBERS)
    grants = "\n".join(f"    - {{member: {one}, uses: [customer-service], until: 2099-12-31}}" for one in MEMBERS)
    text = ACCORD.format(base=base, pin=base_digest(base), members=members, grants=grants, labels=", ".join(LABELS))
    for old, new in changes:
        assert re.search(old, text), old
        text = re.sub(old, new, text)
    (home / "hub" / "accord.yaml").write_text(text)


def agreed(home, members=MEMBERS):
    """Every member signs the accord, by files."""
    hub = home / "hub"
    offer = done("accord", "sign", "--workspace", hub, at=home)["file"]
    acts = []
    for member in members:
        signed = done("accord", "sign", offer, "--yes", "--workspace", home / member, at=home)
        acts += ["--collect", signed["file"]]
    return done("accord", "sign", *acts, "--workspace", hub, at=home)["anchor"]


def registered(home, members=MEMBERS):
    """Every member registers its card, by files."""
    acts = []
    for member in members:
        place = home / member
        card = done("data", "card", place / "data.yaml", "--register", "--workspace", place, at=home)
        acts += ["--collect", card["registered"]]
    done("accord", "sign", *acts, "--workspace", home / "hub", at=home)


# ── made once in a process; a test copies what it changes ────────────────────


@cache
def shared():
    """A folder for what tests share."""
    folder = Path(tempfile.mkdtemp(prefix="foedus-practice-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def small_base():
    """A tiny base model that knows some words of these rows."""
    return tiny_base(shared() / "base", words=WORDS, steps=60)


@cache
def in_force():
    """A consortium whose accord is signed by all."""
    drawn_up(shared() / "agreed", small_base())
    agreed(shared() / "agreed")
    return shared() / "agreed"


@cache
def ready_to_run():
    """A consortium whose cards are registered."""
    home = shutil.copytree(in_force(), shared() / "ready")
    registered(home)
    return home


@cache
def examined():
    """A consortium with one run, carried to its evidence."""
    home = shutil.copytree(ready_to_run(), shared() / "examined")
    done("run", "start", "--workers", "0", "--workspace", home / "hub")
    return home


@cache
def published():
    """A consortium with a published release, its replies exported beside it."""
    home = shutil.copytree(examined(), shared() / "published")
    hub = home / "hub"
    draft = done("release", "build", "--run", "run-1", "--version", "1.0", "--workspace", hub)["folder"]
    votes = [
        done("gate", "approve", draft, "--yes", "--workspace", home / member, at=home)["file"] for member in MEMBERS
    ]
    done("gate", "approve", draft, "--collect", *votes, "--workspace", hub, at=home)
    done("release", "build", Path(draft).name, "--workspace", hub)
    done("run", "export-replies", "run-1", home / "replies", "--workspace", hub)
    return home


def bundle(home):
    """Where the release of `published` lies."""
    return home / "hub" / "releases" / "practice-intents-1.0.foedus"


def anchor(home):
    """The consortium's anchor."""
    return json.loads((home / "hub" / "workspace.json").read_text())["anchor"]
