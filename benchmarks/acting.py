"""What an act of a coordinator costs beside a long ledger: the first in a process, and those after it.

    python benchmarks/acting.py [--entries N] [--acts N] [--json] [--write-docs]

The ledger is that of `verify_rate.py`, really signed, in a workspace of its coordinator. An act is one that stands in
the ledger when the call returns: made, signed, folded, recorded durably. Processor time (user and system), one thread;
what the disk takes to flush is not in it. Each row is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

from page import write_section
from verify_rate import AT, MEMBERS, Keys, make_accord, make_keys, signed

from foedus.core.digest import sha256
from foedus.ledger import Ledger, leaf_bytes, merkle
from foedus.ledger.note import Checkpoint, Note, sign
from foedus.records import acts
from foedus.workspace import act, consortium, create_coordinator, open_workspace, private_key
from foedus.workspace.acting import pin_anchor


def make(folder: Path, entries: int) -> int:
    """A coordinator's workspace with a ledger of about so many entries; gives how many."""
    workspace = create_coordinator(folder, "hub", members=MEMBERS)
    keys: Keys = make_keys()
    keys["hub"] |= {purpose: private_key(workspace, purpose) for purpose in ("act", "log")}
    rounds = max(1, entries // (len(MEMBERS) + 3))
    accord, log = make_accord(keys, rounds), keys["hub"]["log"]
    workspace.objects.put(accord.to_bytes())
    leaves = [leaf_bytes(envelope, AT) for envelope, _ in signed(accord, keys, rounds)]
    head = Checkpoint(accord.origin, len(leaves), merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]))
    note = Note(head.text, (sign(head.text, accord.origin, log),)).to_bytes()
    Ledger.receive(workspace.ledger, leaves, note, origin=accord.origin, log_key=log.public)
    pin_anchor(workspace, accord.digest)
    return len(leaves)


def measure(folder: Path, count: int) -> dict[str, float]:
    """Seconds of processor time: until the ledger is read, the first act, and the median of those after it."""
    started = process_time()
    workspace = open_workspace(folder)
    before = consortium(workspace).size
    read = process_time() - started
    seconds = []
    for number in range(count):
        refusal = acts.Refuse(code="wire.garbage", source=sha256(os.urandom(8))[7:19], count=1 + number, run=None,
                              round=0)  # fmt: skip
        started = process_time()
        act(workspace, refusal)
        seconds.append(process_time() - started)
    started = process_time()
    after = consortium(open_workspace(folder)).size
    look = process_time() - started
    if after != before + count:
        raise SystemExit(f"{after} entries where {before + count} were expected")
    return {
        "read": read,
        "first": seconds[0],
        "next": statistics.median(seconds[1:]),
        "look": look,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_a_process(folder: Path, count: int) -> dict[str, float]:
    """`measure` in a fresh process."""
    asked = [sys.executable, __file__, "--folder", str(folder), "--acts", str(count)]
    told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(told)
    return found


def section(result: dict[str, object], rows: list[dict[str, float]]) -> str:
    """The page's section on acting."""
    cells = [
        f"| {name} | {row['read']:.2f} | {row['first']:.3f} | {row['next']:.3f} | {row['look']:.4f} | "
        f"{row['megabytes']:.0f} |"
        for name, row in zip(("the first process", "the next process"), rows, strict=True)
    ]
    return "\n".join(
        [
            "## Acting beside a long ledger",
            "",
            f"A coordinator's workspace with {result['entries']:,} signed entries of five members. Seconds of "
            f"processor time, one thread: until the process knows what the ledger says, its first act, the median of "
            f"{result['acts']} acts, and looking again; each act is signed, folded and recorded durably.",
            "",
            "| | reading | first act | next acts | looking again | peak MB |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *cells,
            "",
            f"Python {platform.python_version()}, {os.cpu_count()} processors, load average "
            f"{os.getloadavg()[0]:.1f}, {datetime.now(UTC):%Y-%m-%d}.",
            "",
            "```console",
            f"$ python benchmarks/acting.py --entries {result['asked']} --acts {result['acts']} --write-docs",
            "```",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--acts", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="measure once in a workspace that an earlier call made")
    parser.add_argument("--make", type=Path, help="only make a workspace there")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write-docs", action="store_true")
    asked = parser.parse_args()
    if asked.make:
        print(make(asked.make, asked.entries))
        return
    if asked.folder:
        print(json.dumps(measure(asked.folder, asked.acts)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "hub"
        entries = make(folder, asked.entries)
        rows = [in_a_process(folder, asked.acts) for _ in range(2)]
    result: dict[str, object] = {"entries": entries, "asked": asked.entries, "acts": asked.acts}
    print(json.dumps({**result, "rows": rows}) if asked.json else section(result, rows))
    if asked.write_docs:
        write_section("acting", section(result, rows))


if __name__ == "__main__":
    main()
