"""The fold recomputes who was to be asked, how late a reply may be, and reads lists that are too long for an entry."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.digest import sha256
from foedus.core.errors import CallerError, VerifyError
from foedus.core.messages import LANGUAGES, error_text
from foedus.ledger.leaf import LIMIT_BYTES, leaf_bytes
from foedus.records import acts, terms
from foedus.records.accord import Aggregation, Participation, Training
from foedus.records.draw import drawn, eligible, panel, sample_size
from foedus.records.release import LateReply
from samples import sample_accord
from scene import Scene, close_round, digest, open_run

SIX = tuple(f"bank-{letter}" for letter in "abcdef")


def accord(*, members=SIX, late=None, tagged=None, training=None, **participation):
    made = sample_accord(
        members,
        training=training or Training(method=terms.Head(), rounds=4, seed="sample"),
        aggregation=Aggregation(
            combine=terms.Mean(weights="equal"),
            outer=terms.Plain(),
            participation=Participation(**participation),
            late=late or terms.Drop(),
        ),
    )
    tagged = tagged or {}
    return made.model_copy(
        update={"members": tuple(m.model_copy(update={"tags": tagged.get(m.name, ())}) for m in made.members)}
    )


def asked(scene, number):
    """Whom the round's draw names."""
    rule = scene.accord.aggregation.participation
    return drawn(rule, eligible(scene.accord, scene.accord.contributors), seed="sample", run="r1", round=number)


def running(**changes):
    return Scene(accord(**changes)).in_force().with_cards().opened()


def closing(scene, number, names=None, *, stale=None, **overrides):
    """The round's close by these members (all that were drawn), and by members whose reply is so many rounds late."""
    stale, discount = stale or {}, 0.5
    names = sorted({*(asked(scene, number) if names is None else names), *stale})
    parts = {name: discount ** stale.get(name, 0) for name in names}
    used = tuple(
        acts.Used(
            member=name,
            reply=digest(f"{number - stale.get(name, 0)} {name}"),
            weight=f"{part / sum(parts.values()):.9f}".rstrip("0"),
            staleness=stale.get(name, 0),
        )
        for name, part in parts.items()
    )
    out = tuple(acts.LeftOut(member=n, code="engine.late") for n in asked(scene, number) if n not in names)
    return close_round(number, used=used, **{"left_out": out, **overrides})


def refused(scene, code):
    with pytest.raises(VerifyError) as caught:
        scene.fold()
    assert caught.value.code == f"fold.{code}"
    assert caught.value.fields["index"] == len(scene.leaves) - 1
    assert all(str(error_text(caught.value, lang=lang)) for lang in LANGUAGES)
    return caught.value


# ── the draw ─────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 50), st.text("ab", max_size=3), st.integers(1, 9))
def test_a_draw_is_a_sorted_sample_of_its_size_and_the_same_for_everybody(count, sample, seed, number):
    names = tuple(f"m{i:02}" for i in range(count))
    rule = Participation(sample=sample)
    found = drawn(rule, names, seed=seed, run="r", round=number)
    assert found == drawn(rule, list(names), seed=seed, run="r", round=number)
    assert list(found) == sorted(set(found) & set(names))
    assert len(found) == min(sample, count)


def test_every_member_is_drawn_about_as_often_and_rounds_differ():
    names = tuple(f"m{i}" for i in range(10))
    draws = [drawn(Participation(sample=3), names, seed="s", run="r", round=n) for n in range(1, 1001)]
    often = [sum(name in draw for draw in draws) for name in names]
    assert min(often) > 240  # 300 expected, deviation 14.5
    assert max(often) < 360
    assert len(set(draws)) > 100


@pytest.mark.parametrize(("share", "count", "size"), [(1, 10, 1), (2500, 10, 3), (10_000, 10, 10), (0, 5, 1)])
def test_a_share_is_rounded_up_and_asks_at_least_one(share, count, size):
    assert sample_size(Participation(share_bp=share), count) == size


def test_names_and_tags_choose_who_is_eligible():
    tags = {"bank-a": ("north",), "bank-b": ("north", "small"), "bank-c": ("south",)}
    for rule, expected in [
        ({}, SIX),
        ({"tags": ("north",)}, ("bank-a", "bank-b")),
        ({"tags": ("small", "south")}, ("bank-b", "bank-c")),
        ({"members": ("bank-a", "bank-f")}, ("bank-a", "bank-f")),
        ({"members": ("bank-a", "bank-f"), "tags": ("north",)}, ("bank-a",)),
    ]:
        made = accord(tagged=tags, **rule)
        assert eligible(made, made.contributors) == expected


def test_the_panel_is_all_or_as_many_as_a_round_asks_and_the_same_all_run():
    names = SIX[:4]
    assert panel(Participation(), SIX, names, seed="s", run="r") == SIX
    found = panel(Participation(sample=2), SIX, names, seed="s", run="r")
    assert len(found) == 2
    assert panel(Participation(share_bp=5000), SIX, names, seed="s", run="r") == found
    assert len({panel(Participation(sample=2), SIX, names, seed="s", run=f"r{i}") for i in range(20)}) > 3


# ── what the fold refuses ────────────────────────────────────────────────────


def test_rounds_of_those_that_were_drawn_fold():
    scene = running(sample=3)
    for number in (1, 2, 3):
        scene.act("hub", closing(scene, number, asked(scene, number)[:2] if number == 2 else None))
    this = scene.fold().runs["r1"]
    assert [tuple(item.member for item in close.used) for close in this.closes] == [
        asked(scene, 1), asked(scene, 2)[:2], asked(scene, 3),
    ]  # fmt: skip
    assert len({asked(scene, number) for number in (1, 2, 3, 4)}) > 1


def test_a_coordinator_that_asked_another_than_the_draw_names_is_found():
    scene = running(sample=3)
    other = next(name for name in SIX if name not in asked(scene, 1))
    scene.act("hub", closing(scene, 1, (*asked(scene, 1)[:2], other)))
    assert refused(scene, "not-drawn").fields["got"] == other
    scene = running(sample=3)
    out = (acts.LeftOut(member=other, code="engine.late"),)
    scene.act("hub", closing(scene, 1, left_out=out))
    assert refused(scene, "not-drawn").fields["got"] == other


def test_a_round_is_silent_about_nobody_that_was_drawn():
    scene = running(sample=3)
    scene.act("hub", closing(scene, 1, asked(scene, 1)[:2], left_out=()))
    assert refused(scene, "not-told").fields["got"] == asked(scene, 1)[2]


def test_with_a_sample_only_its_panel_measures():
    scene = running(sample=3)
    chosen = panel(Participation(sample=3), SIX, SIX, seed="sample", run="r1")
    on = tuple(acts.Used(member=name, reply=digest(f"measured {name}"), weight="1") for name in chosen)
    scene.act("hub", closing(scene, 1, measured=on))
    assert scene.fold().runs["r1"].closes[0].measured == on
    scene = running(sample=3)
    other = next(name for name in SIX if name not in chosen)
    scene.act("hub", closing(scene, 1, measured=(acts.Used(member=other, reply=digest("x"), weight="1"),)))
    assert refused(scene, "not-on-panel").fields["got"] == other


# ── late replies ─────────────────────────────────────────────────────────────

NEXT = terms.NextRound(max_rounds=2, discount="0.5")


def held(*rounds, member="bank-f"):
    return tuple(LateReply(member=member, reply=digest(f"{number} {member}"), round=number) for number in rounds)


def test_a_late_reply_is_held_and_enters_a_later_round_with_its_discount():
    scene = running(late=NEXT)
    scene.act("hub", closing(scene, 1, SIX[:5], late=held(1)))
    scene.act("hub", closing(scene, 2, SIX[:5], stale={"bank-f": 1}))
    close = scene.fold().runs["r1"].closes[1]
    assert close.used[5] == acts.Used(member="bank-f", reply=digest("1 bank-f"), weight="0.090909091", staleness=1)


def test_a_late_reply_that_is_dropped_is_told_though_its_member_entered_by_another():
    scene = running(late=NEXT)
    scene.act("hub", closing(scene, 1, SIX[:5], late=held(1)))
    dropped = (acts.LeftOut(member="bank-f", code="late.superseded", reply=digest("1 bank-f")),)
    scene.act("hub", closing(scene, 2, left_out=dropped))
    assert scene.fold().runs["r1"].closes[1].left_out == dropped


@pytest.mark.parametrize(
    ("changes", "stale", "late", "code"),
    [
        ({}, {"bank-f": 1}, (), "against-clause"),
        ({}, {}, held(1), "against-clause"),
        ({"late": terms.NextRound(max_rounds=1)}, {"bank-f": 2}, (), "against-clause"),
        ({"late": terms.NextRound(max_rounds=1)}, {}, held(1), "against-clause"),
        ({"late": NEXT}, {"bank-f": 3}, (), "against-clause"),
        ({"late": NEXT}, {"bank-f": -1}, (), "against-clause"),
        ({"late": NEXT}, {}, held(4), "against-clause"),
        ({"late": NEXT}, {"bank-e": 2}, (), "reply-again"),
        ({"late": NEXT}, {}, held(2, member="bank-e"), "reply-again"),
        ({"late": NEXT}, {}, held(3, member="bank-e"), "reply-again"),
    ],
)
def test_a_late_reply_against_the_clause_is_refused(changes, stale, late, code):
    scene = running(**changes)
    for number in (1, 2):
        scene.act("hub", closing(scene, number, SIX[:5]))
    scene.act("hub", closing(scene, 3, SIX[:5] if not stale else SIX[:4], stale=stale, late=late))
    refused(scene, code)


def test_with_alternating_halves_a_reply_never_enters_a_round_of_the_other_half():
    scene = running(late=NEXT, training=Training(method=terms.Lora(), rounds=4, seed="sample"))
    scene.act("hub", closing(scene, 1, SIX[:5], late=held(1)))
    scene.act("hub", closing(scene, 2, SIX[:5], late=held(1)))
    scene.act("hub", closing(scene, 3, SIX[:5], stale={"bank-f": 2}))
    assert scene.fold().runs["r1"].round == 3
    scene = running(late=NEXT, training=Training(method=terms.Lora(), rounds=4, seed="sample"))
    scene.act("hub", closing(scene, 1, SIX[:5], late=held(1)))
    scene.act("hub", closing(scene, 2, SIX[:5], stale={"bank-f": 1}))
    refused(scene, "against-clause")


def test_a_late_reply_of_a_member_that_its_round_did_not_ask_is_refused():
    scene = running(sample=3, late=NEXT)
    other = next(name for name in SIX if name not in asked(scene, 1))
    scene.act("hub", closing(scene, 1, late=held(1, member=other)))
    assert refused(scene, "not-drawn").fields["got"] == other


# ── long lists ───────────────────────────────────────────────────────────────

MANY = tuple(f"bank-{number:04}" for number in range(400))


@pytest.fixture(scope="module")
def crowd():
    """A run of 400 members, two rounds closed; every member measured twice."""
    scene = Scene(accord(members=MANY)).in_force().with_cards().opened()
    for number in (1, 2):
        measured = [acts.Used(member=m, reply=digest(f"{number} {k} {m}"), weight="0.0025") for k in "ab" for m in MANY]
        scene.act("hub", closing(scene, number, MANY[: 401 - number], measured=tuple(measured)))
    return scene


def test_a_round_of_400_members_stays_a_short_entry_and_folds_with_its_lists(crowd):
    assert max(len(leaf_bytes(leaf.envelope, leaf.recorded_at)) for leaf in crowd.leaves[-2:]) < 2000
    assert all(len(leaf.data) < LIMIT_BYTES for leaf in crowd.leaves if leaf.entry.type != "accord.propose")
    state = crowd.fold()
    first, second = state.runs["r1"].closes
    assert [item.member for item in first.used] == list(MANY)
    assert [one.member for one in second.left_out] == [MANY[399]]
    assert len(first.measured) == 800
    lists = [first.lists, second.lists]
    assert {name for name in state.objects if name not in state.accords} == set(lists)
    assert [acts.put_apart(close)[0].digest for close in (first, second)] == [
        acts.CloseRound.from_json(leaf.entry.body).digest for leaf in crowd.leaves[-2:]
    ]


def test_a_roster_of_thousands_stays_a_short_entry_too():
    act = open_run(tuple(f"bank-{number:05}" for number in range(10_000)))
    entry, data = acts.put_apart(act)
    assert len(entry.to_bytes()) < 1000
    assert entry.roster == ()
    assert acts.put_together(entry, lambda _: acts.Lists.from_bytes(data)).roster == act.roster
    short, none = acts.put_apart(open_run())
    assert (short.roster, short.lists, none) == (("bank-a", "bank-b", "bank-c"), None, None)


def test_an_act_just_below_the_bound_fits_into_an_entry():
    length = 300
    while acts.put_apart(open_run(MANY_NAMES[:length]))[1] is None:
        length += 1
    act = acts.put_apart(open_run(MANY_NAMES[: length - 1]))[0]
    scene = Scene()
    assert act.lists is None
    assert len(scene.record(scene.entry("hub", act)).data) < LIMIT_BYTES


MANY_NAMES = tuple(f"{'x' * 50}-{number:05}" for number in range(2000))


def test_lists_that_are_gone_or_changed_stop_the_fold(crowd):
    name = crowd.fold().runs["r1"].closes[1].lists
    kept = crowd.objects.pop(name)
    assert refused(crowd, "object-missing").fields["digest"] == name
    crowd.objects[name] = kept.replace(b"0.0025", b"0.0026", 1)
    refused(crowd, "object-changed")
    crowd.objects[name] = kept
    crowd.fold()


def test_lists_in_another_place_than_theirs_are_refused():
    scene = running()
    close = closing(scene, 1)
    lists = acts.Lists(used=close.used)
    scene.objects[lists.digest] = lists.to_bytes()
    entry = scene.entry("hub", close)
    body = {**entry.body, "used": [], "lists": lists.digest}
    scene.record(scene.entry("hub", close, body=body))
    refused(scene, "malformed")
    entry, data = acts.put_apart(open_run(MANY_NAMES))
    with pytest.raises(CallerError):
        acts.put_together(open_run(MANY_NAMES), lambda _: acts.Lists.from_bytes(data))
    more = acts.Lists.from_bytes(data).model_copy(update={"used": close.used})
    with pytest.raises(CallerError):
        acts.put_together(entry.model_copy(update={"lists": more.digest}), lambda _: more)


def test_lists_are_not_erased(crowd):
    name = crowd.fold().runs["r1"].closes[0].lists
    scene = crowd
    scene.act("hub", acts.Erase(object=name, reason="space"))
    refused(scene, "not-entitled")
    assert sha256(scene.objects[name]) == name
