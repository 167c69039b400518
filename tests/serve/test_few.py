"""Linear layers that are quick for few rows: the same results, the same weights under the same names."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from foedus.serve.few import MOST_ROWS, FewRows, quicken


def _pair(*, bias: bool = True) -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(7)
    stock = nn.Sequential(nn.Linear(24, 96, bias=bias), nn.GELU(), nn.Linear(96, 24, bias=bias)).eval()
    quick = copy.deepcopy(stock)
    quicken(quick)
    return stock, quick


@pytest.mark.parametrize("shape", [(24,), (1, 24), (MOST_ROWS, 24), (MOST_ROWS + 1, 24), (1, 7, 24), (3, 5, 24)])
def test_rows_give_what_the_stock_layer_gives(shape: tuple[int, ...]) -> None:
    stock, quick = _pair()
    given = torch.randn(*shape)
    with torch.inference_mode():
        assert torch.allclose(stock(given), quick(given), atol=1e-6)  # float32, sums of 96 in another order
        assert quick(given).shape == shape


def test_a_row_gives_the_same_alone_and_among_many() -> None:
    _, quick = _pair()
    many = torch.randn(200, 24)
    with torch.inference_mode():
        assert torch.allclose(quick(many)[13:14], quick(many[13:14]), atol=1e-6)


def test_weights_keep_their_names_and_a_copy_has_its_own() -> None:
    stock, quick = _pair()
    assert list(quick.state_dict()) == list(stock.state_dict())
    copied = copy.deepcopy(quick)
    with torch.inference_mode():
        given = torch.randn(2, 24)
        before = quick(given)
        for weight in copied.parameters():
            weight.zero_()
        assert torch.equal(quick(given), before)
        assert not copied(given).any()


def test_dropout_is_left_out_as_in_a_stock_network_that_only_answers() -> None:
    stock = nn.Sequential(nn.Linear(24, 24), nn.Dropout(0.5), nn.Linear(24, 24)).eval()
    quick = copy.deepcopy(stock)
    quicken(quick)
    given = torch.randn(3, 24)
    with torch.inference_mode():
        assert torch.allclose(stock(given), quick(given), atol=1e-6)
    assert not any(isinstance(layer, nn.Dropout) for layer in quick)


def test_layers_without_a_bias_and_their_subclasses_stay_what_they_are() -> None:
    _, plain = _pair(bias=False)
    assert not any(isinstance(layer, FewRows) for layer in plain)
    own = nn.modules.linear.NonDynamicallyQuantizableLinear(2, 2)
    quicken(own)
    assert type(own) is nn.modules.linear.NonDynamicallyQuantizableLinear
