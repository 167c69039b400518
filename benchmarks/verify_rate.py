"""How fast a ledger is verified, beside the rate of the signature checks alone that this cannot do without.

    python benchmarks/verify_rate.py [--entries N] [--repeats N] [--json] [--write-docs]

Both rates are measured in the same run on the same machine, in turns, in processor time: `raw` verifies every entry's
Ed25519 signature and does nothing else; `ledger` is everything that `foedus verify` does to a ledger: on its folder
`verify_structure` (files, canonical form, root, tiles, order), then `resolve` (signatures, chains, rights, counts).

The ledger is one of five members in the mix of a long consortium: in each round every member votes on a waiver, the
vote is closed, a round is closed, and one member registers a card.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

from page import write_section

from foedus.core.digest import sha256
from foedus.core.envelope import Envelope, b64, pae
from foedus.core.keys import PrivateKey, Purpose, generate, verify
from foedus.ledger import Ledger, leaf_bytes, merkle, verify_structure
from foedus.ledger.fold import resolve, shares
from foedus.ledger.note import Checkpoint, Note, sign
from foedus.records import acts, terms
from foedus.records.accord import (
    Accord,
    Aggregation,
    Base,
    Coordinator,
    CoordinatorKeys,
    DataTerms,
    Grant,
    Member,
    MemberKeys,
    ReleaseTerms,
    Training,
    Validity,
)
from foedus.records.accord import (
    Purpose as Aim,
)
from foedus.records.base import Record

GOAL = 0.5
MEMBERS = ("bank-a", "bank-b", "bank-c", "bank-d", "bank-e")
AT = "2026-11-22T08:00:00Z"
Keys = dict[str, dict[Purpose, PrivateKey]]


def digest(*parts: object) -> str:
    return sha256(repr(parts).encode())


# ── the ledger ───────────────────────────────────────────────────────────────


def make_keys() -> Keys:
    purposes: tuple[Purpose, ...] = ("act", "witness", "release", "log")
    return {party: {purpose: generate(purpose) for purpose in purposes} for party in ("hub", *MEMBERS)}


def make_accord(keys: Keys, rounds: int) -> Accord:
    hub = keys["hub"]
    return Accord(
        name="benchmark",
        purpose=Aim(summary="Measure how fast a ledger is verified.", uses=("benchmark",)),
        valid=Validity(first="2026-01-01", last="2027-12-31"),
        coordinator=Coordinator(name="hub", keys=CoordinatorKeys(act=hub["act"].public, log=hub["log"].public)),
        members=tuple(
            Member(
                name=name,
                roles=("contributor",),
                keys=MemberKeys(**{one: keys[name][one].public for one in ("act", "witness", "release")}),
            )
            for name in MEMBERS
        ),
        base=Base(source="package:benchmark", pin=digest("base"), licence="Apache-2.0"),
        task=terms.TextClassification(labels=("one", "two")),
        data=DataTerms(grants=tuple(Grant(member=name, uses=("benchmark",), until="2027-12-31") for name in MEMBERS)),
        training=Training(rounds=rounds, seed="benchmark"),
        aggregation=Aggregation(outer=terms.Nesterov()),
        gates=(terms.Artefact(),),
        release=ReleaseTerms(licence="Apache-2.0"),
    )


def card(name: str, number: int) -> acts.RegisterCard:
    parts = {part: digest(name, number, part) for part in ("train", "validation", "test")}
    return acts.RegisterCard(card=digest(name, number), name="tickets", licence="CC-BY-4.0", consent="contract",
                             examples=12_345, parts=parts)  # fmt: skip


def story(accord: Accord, keys: Keys, rounds: int) -> Iterator[tuple[str, Record]]:
    """Who does what, in order: sign, register, run."""
    yield "hub", acts.ProposeAccord(accord=accord.digest)
    for name in MEMBERS:
        message = acts.possession_message(accord.digest, name)
        witness, release = (b64(keys[name][one].sign(message)) for one in ("witness", "release"))
        yield name, acts.SignAccord(accord=accord.digest, witness_proof=witness, release_proof=release)
    for name in MEMBERS:
        yield name, card(name, 0)
    yield "hub", acts.OpenRun(run="first", roster=MEMBERS, start=digest("start"), engine="inprocess", numerics={})
    weights = shares(accord.aggregation.combine, dict.fromkeys(MEMBERS, 12_345))
    for number in range(1, rounds + 1):
        used = tuple(acts.Used(member=m, reply=digest(m, "reply", number), weight=weights[m]) for m in MEMBERS)
        yield (
            "hub",
            acts.CloseRound(
                run="first",
                round=number,
                snapshot=digest("snapshot", number),
                state=digest("state", number),
                used=used,
                validation_loss="0.693147181",
            ),
        )
        subject = digest("waiver", number)
        for name in MEMBERS:
            yield name, acts.Vote(subject=subject, choice="approve", matter="waive", reason="looked at every figure")
        yield "hub", acts.CloseVote(subject=subject, matter="waive", outcome="approved")
        yield MEMBERS[number % len(MEMBERS)], card(MEMBERS[number % len(MEMBERS)], number)


def signed(accord: Accord, keys: Keys, rounds: int) -> Iterator[tuple[Envelope, str]]:
    """Each act as its author's signed entry, with the author's act key."""
    chains: dict[str, tuple[int, str | None]] = {}
    for actor, body in story(accord, keys, rounds):
        number, prev = chains.get(actor, (0, None))
        key = keys[actor]["act"]
        envelope = acts.Entry.of(body, accord=accord.digest, actor=actor, number=number + 1, prev=prev).sign(key)
        chains[actor] = number + 1, sha256(envelope.payload)
        yield envelope, key.public


# ── measuring ────────────────────────────────────────────────────────────────


def measure(entries: int, repeats: int) -> dict[str, object]:
    rounds = max(1, entries // (len(MEMBERS) + 3))
    keys = make_keys()
    accord, log = make_accord(keys, rounds), keys["hub"]["log"]
    made = list(signed(accord, keys, rounds))
    leaves = [leaf_bytes(envelope, AT) for envelope, _ in made]
    head = Checkpoint(accord.origin, len(leaves), merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]))
    note = Note(head.text, (sign(head.text, accord.origin, log),)).to_bytes()
    messages = [(key, one.signatures[0].sig, pae(one.payload_type, one.payload)) for one, key in made]
    raw, structure, whole = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "ledger"
        Ledger.receive(folder, leaves, note, origin=accord.origin, log_key=log.public)
        for _ in range(repeats):
            started = process_time()
            held = all(verify(key, signature, message) for key, signature, message in messages)
            raw.append(process_time() - started)

            started = process_time()
            checks, found = verify_structure(folder, log_key=log.public, origin=accord.origin)
            structure.append(process_time() - started)
            state = resolve(found, objects={accord.digest: accord.to_bytes()}.get, anchor=accord.digest)
            whole.append(process_time() - started)
            if not held or state.size != len(leaves) or any(check.outcome != "ok" for check in checks):
                raise SystemExit("the ledger made for the benchmark does not verify")
    ratios = sorted(one / other for one, other in zip(raw, whole, strict=True))
    return {
        "entries": len(leaves),
        "bytes_per_entry": round(sum(map(len, leaves)) / len(leaves)),
        "repeats": repeats,
        "raw_ed25519_per_second": round(len(leaves) / statistics.median(raw)),
        "structure_per_second": round(len(leaves) / statistics.median(structure)),
        "ledger_per_second": round(len(leaves) / statistics.median(whole)),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_lowest": round(ratios[0], 3),
        "ratio_highest": round(ratios[-1], 3),
        "load": round(os.getloadavg()[0], 1),
    }


def section(result: dict[str, object]) -> str:
    """The page's section on verifying a ledger."""
    ratio = float(str(result["ratio"]))
    met = "**met**" if ratio >= GOAL else "**missed**"
    turns = f"turns: {result['ratio_lowest']} to {result['ratio_highest']}"
    return "\n".join(
        [
            "## Verifying a ledger",
            "",
            f"{result['entries']} entries of five members (votes, closed votes, closed rounds, cards; "
            f"{result['bytes_per_entry']} bytes each), verified from their files: structure, canonical form, root and "
            "tiles, then every signature, chain, right and count. `raw` checks the same Ed25519 signatures and does "
            f"nothing else. Medians of {result['repeats']} turns, seconds of processor time, one thread.",
            "",
            "| | entries a second |",
            "| --- | ---: |",
            f"| raw Ed25519 | {result['raw_ed25519_per_second']} |",
            f"| structure alone | {result['structure_per_second']} |",
            f"| the whole ledger | {result['ledger_per_second']} |",
            "",
            f"Whole beside raw: {ratio:.3f} ({turns}; load of the machine {result['load']}); the goal "
            f"of at least {GOAL}: {met}. Each entry costs one signature check "
            f"and one canonicalisation; a test counts both. Python {platform.python_version()}, "
            f"{datetime.now(UTC):%Y-%m-%d}.",
            "",
            "```console",
            f"$ python benchmarks/verify_rate.py --repeats {result['repeats']} --write-docs",
            "```",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5, help="the rates printed are medians")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write-docs", action="store_true", help="put the figures into docs/benchmarks.md")
    options = parser.parse_args()
    result = measure(options.entries, options.repeats)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:28} {value}")
    if options.write_docs:
        write_section("verify", section(result))


if __name__ == "__main__":
    main()
