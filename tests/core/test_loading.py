import gc
import sys

import pytest

from foedus.core.loading import put_off, uncollected


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


def test_a_module_that_is_put_off_is_loaded_when_a_function_of_it_is_called(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with put_off("colorsys"):
        from colorsys import rgb_to_hsv
    assert "colorsys" not in sys.modules
    assert rgb_to_hsv(1.0, 1.0, v := 0.0) == (1 / 6, 1.0, 1.0 - v)
    assert sys.modules["colorsys"].__spec__.origin.endswith("colorsys.py")


def test_a_module_that_is_loaded_already_is_not_put_off():
    import json

    with put_off("json"):
        assert sys.modules["json"] is json
    assert sys.modules["json"] is json


def test_a_put_off_module_comes_back_as_itself_though_loading_failed():
    with pytest.raises(ImportError), put_off("foedus.no_such_module"):
        import foedus.no_such_package  # noqa: F401
    assert "foedus.no_such_module" not in sys.modules
