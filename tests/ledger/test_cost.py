"""What verifying a ledger costs: one signature check and one canonicalisation an entry."""

from collections import Counter
from dataclasses import replace

from foedus.core import canonical, envelope, keys
from foedus.ledger import fold, merkle, note, rules, tiles, verify_structure
from foedus.ledger.fold import resolve
from foedus.ledger.leaf import leaf_bytes
from ledger.logs import LOG, received
from scene import Scene


def test_an_entry_costs_one_signature_check_and_one_canonicalisation(tmp_path, monkeypatch):
    scene = Scene()
    scene.released()
    before = len(scene.leaves)
    state = scene.fold()
    for number in range(20):
        scene.vote(f"sha256:{number:064x}", "waive")
    added = scene.leaves[before:]
    folder = tmp_path / "ledger"
    ledger = received(folder, [leaf_bytes(leaf.envelope, leaf.recorded_at) for leaf in added])
    count = Counter()

    def counted(name, function):
        def call(*args, **kwargs):
            count[name] += 1
            return function(*args, **kwargs)

        return call

    check_signature = counted("signature", keys.verify)
    for room in (keys, envelope, fold, rules, note):
        monkeypatch.setattr(room, "verify", check_signature)
    monkeypatch.setattr(canonical, "decode", counted("canonicalisation", canonical.decode))
    monkeypatch.setattr(canonical, "encode", counted("canonicalisation", canonical.encode))
    monkeypatch.setattr(merkle, "leaf_hash", counted("leaf hash", merkle.leaf_hash))

    checks, leaves = verify_structure(folder, log_key=LOG.public, origin=ledger.origin)
    assert [check.outcome for check in checks] == ["ok"] * len(checks)
    assert count == {"signature": 1, "canonicalisation": len(added), "leaf hash": len(added)}, "1: the log's own"

    count.clear()
    placed = [replace(leaf, index=before + leaf.index) for leaf in leaves]
    after = resolve(placed, objects=scene.objects.get, anchor=None, since=state)
    assert after.size == before + len(added)
    assert count == {"signature": len(added)}


def test_the_root_of_a_tree_that_grew_is_the_root_of_its_leaves():
    for size in (0, 1, 2, 255, 256, 257, 511, 512, 513, 1000):
        hashes = [merkle.leaf_hash(bytes([number % 251])) for number in range(size)]
        levels = []
        tiles.grow(levels, hashes)
        assert tiles.tree_root(levels) == merkle.root(hashes), size
