"""Reports of the tiny consortium's release, one of each kind."""

from foedus import report
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
