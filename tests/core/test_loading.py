import gc

import pytest

from foedus.core.loading import uncollected


@pytest.fixture(autouse=True)
def as_before():
    yield
    gc.enable()
    gc.unfreeze()


def test_nothing_is_collected_while_packages_load_and_what_they_made_is_passed_by_afterwards():
    with uncollected():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(made)


def test_a_package_that_fails_to_load_leaves_the_collector_on():
    with pytest.raises(ImportError), uncollected():
        import foedus.no_such_module  # noqa: F401
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    with uncollected():
        assert not gc.isenabled()
    assert not gc.isenabled()
