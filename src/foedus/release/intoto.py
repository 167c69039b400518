"""The gates' verdicts as an in-toto test-result attestation, which other tools read.

    https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md

Signed by the coordinator, so alone it proves only that the coordinator said so; `verify` recomputes it from the
verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence

from foedus.core import canonical
from foedus.core.digest import hex_of
from foedus.core.envelope import Envelope, seal
from foedus.core.keys import PrivateKey
from foedus.records.evidence import Verdict
from foedus.release.oms import IN_TOTO

__all__ = ["attest", "statement"]


def statement(*, model: str, accord: str, verdicts: Sequence[Verdict]) -> bytes:
    """The statement on a model (its root digest) under an accord. A test is `gate` or `gate/member`.

    FAILED when a verdict fails, WARNED when one is inconclusive, PASSED when all pass, FAILED when there is none.
    """
    by_outcome: dict[str, list[str]] = {"pass": [], "inconclusive": [], "fail": []}
    for verdict in verdicts:
        by_outcome[verdict.outcome].append(f"{verdict.gate}/{verdict.member}" if verdict.member else verdict.gate)
    passed = bool(by_outcome["pass"]) and not by_outcome["inconclusive"]
    result = "FAILED" if by_outcome["fail"] or not verdicts else "PASSED" if passed else "WARNED"
    return canonical.encode(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "model", "digest": {"sha256": hex_of(model)}}],
            "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
            "predicate": {
                "result": result,
                "configuration": [{"name": "accord", "digest": {"sha256": hex_of(accord)}}],
                "passedTests": sorted(by_outcome["pass"]),
                "warnedTests": sorted(by_outcome["inconclusive"]),
                "failedTests": sorted(by_outcome["fail"]),
            },
        }
    )


def attest(*, model: str, accord: str, verdicts: Sequence[Verdict], key: PrivateKey) -> Envelope:
    """The statement in an envelope signed by the coordinator's act key."""
    return seal(statement(model=model, accord=accord, verdicts=verdicts), IN_TOTO, [key])
