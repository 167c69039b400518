"""How fast a ledger is verified, beside the rate of the signature checks alone that this cannot do without.

    python benchmarks/verify_rate.py [--entries N] [--json]

Both rates are measured in the same run on the same machine: `raw` verifies every entry's Ed25519 signature and does
nothing else; `ledger` runs `verify_structure` on the folder and then verifies every entry's signature by its author's
key, once. What the fold does besides (rights, chains, votes) is not in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from foedus.core.envelope import Envelope, pae
from foedus.core.keys import PrivateKey, generate, verify
from foedus.ledger import Ledger, leaf_bytes, merkle, verify_structure
from foedus.ledger.note import Checkpoint, Note, sign
from foedus.records.acts import CloseRound, Entry, LeftOut, RegisterCard, SignAccord, Used, Vote

ORIGIN = "foedus/benchmark"


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def envelopes(count: int, key: PrivateKey) -> list[Envelope]:
    """Entries of the sizes that a run writes: votes, cards, rounds of ten members, signatures under an accord."""
    members = [f"member-{number}" for number in range(10)]
    acts = (
        Vote(subject=digest(1), choice="approve", matter="release", reason="looked at every gate"),
        RegisterCard(card=digest(2), name="tickets", licence="CC-BY-4.0", consent="contract", examples=12_345,
                     parts={"train": digest(3), "validation": digest(4), "test": digest(5)}),
        CloseRound(run="first", round=1, snapshot=digest(6), state=digest(7), validation_loss="0.693147181",
                   used=tuple(Used(member=name, reply=digest(8), weight="0.1") for name in members),
                   left_out=(LeftOut(member="member-z", code="late"),)),
        SignAccord(accord=digest(9), witness_proof="A" * 88, release_proof="A" * 96),
    )  # fmt: skip
    entries = (
        Entry.of(acts[i % len(acts)], accord=digest(0), actor="member-0", number=i + 1, prev=digest(i) if i else None)
        for i in range(count)
    )
    return [entry.sign(key) for entry in entries]


def measure(count: int, repeats: int) -> dict[str, object]:
    author, log = generate("act"), generate("log")
    signed = envelopes(count, author)
    at = datetime(2026, 11, 22, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    leaves = [leaf_bytes(envelope, at) for envelope in signed]
    head = Checkpoint(ORIGIN, count, merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]))
    note = Note(head.text, (sign(head.text, ORIGIN, log),)).to_bytes()
    raw_rates, ledger_rates = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "ledger"
        Ledger.receive(folder, leaves, note, origin=ORIGIN, log_key=log.public)
        messages = [(one.signatures[0].sig, pae(one.payload_type, one.payload)) for one in signed]
        for _ in range(repeats):
            started = perf_counter()
            held = all(verify(author.public, signature, message) for signature, message in messages)
            raw_rates.append(count / (perf_counter() - started))

            started = perf_counter()
            checks, found = verify_structure(folder, log_key=log.public, origin=ORIGIN)
            held = held and all(leaf.envelope.signed_by(author.public) for leaf in found)
            ledger_rates.append(count / (perf_counter() - started))
            if not held or len(found) != count or any(check.outcome != "ok" for check in checks):
                raise SystemExit("the ledger made for the benchmark does not verify")
    raw, ledger = statistics.median(raw_rates), statistics.median(ledger_rates)
    return {
        "entries": count,
        "bytes_per_entry": round(sum(map(len, leaves)) / count),
        "repeats": repeats,
        "raw_ed25519_per_second": round(raw),
        "ledger_entries_per_second": round(ledger),
        "ratio": round(ledger / raw, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5, help="the rates printed are medians")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.entries, options.repeats)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
