"""Reports of the tiny consortium's release, one of each kind."""

from foedus import report
from foedus.core.envelope import b64
from foedus.records import acts
from foedus.records.evidence import DataCard, Salted
from release.tiny_consortium import LATER, Consortium, tiny_accord

KINDS = ("run", "statement", "certificate", "audit")


def kept(world):
    """The objects of a consortium by digest, the figures and the credit that its run entered among them."""
    found = {record.digest: record.to_bytes() for record in world.evidence}

    def find(digest):
        return world.store.get(digest) if digest in world.store else found.get(digest)

    return find


def made(kind, world, released):
    """A report of that kind of the world's release."""
    if kind == "run":
        state = released.seen.consortium
        return report.run_report(state, "r1", find=kept(world), leaves=released.leaves, at=LATER)
    if kind == "statement":
        return report.statement(released, "bank-a")
    if kind == "certificate":
        return report.certificate(released)
    return report.audit(released, auditor="A. Auditor", rerun=[f"foedus verify {released.name}.foedus"])


def practice_world(folder):
    """The same consortium, where one process holds every key."""
    world = Consortium(folder, accord=tiny_accord(custody="one-process"))
    world.release()
    return world


class Audited(Consortium):
    """The same consortium with an auditor that holds a test part and trains nothing, as the demonstration has one."""

    def found(self):
        super().found()
        message = acts.possession_message(self.accord.digest, "exam")
        proofs = [b64(self.keys("exam")[purpose].sign(message)) for purpose in ("witness", "release")]
        self.do("exam", acts.SignAccord(accord=self.accord.digest, witness_proof=proofs[0], release_proof=proofs[1]))

    def do(self, actor, body):
        if actor == "exam" and isinstance(body, acts.RegisterCard):
            body = body.model_copy(update={"examples": 0})
        return super().do(actor, body)

    def cards(self):
        found = super().cards()
        salted = Salted.from_bytes(found["bank-a"])
        card = DataCard.from_json(salted.document)
        test = {name: {"test": getattr(card, name)["test"]} for name in ("parts", "commitments")}
        own = card.model_copy(update={**test, "member": "exam", "name": "official-test"})
        return {**found, "exam": Salted(salt="9" * 32, document=own.model_dump(mode="json")).to_bytes()}


def audited_world(folder):
    """A consortium with such an auditor, and its published release."""
    world = Audited(folder, accord=tiny_accord(auditors=("exam",)))
    world.release()
    return world
