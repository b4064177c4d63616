"""The paper's arithmetic, against the paper's examples and brute force."""

import itertools

import pytest

from mmseg_deeplabv3x import atrous

RESNET101_CASCADE = (3, 4, 23, 3, 3, 3, 3)


def rates_of(plans, block):
    return tuple(unit.rate for unit in plans[block - 1])


def test_fig3_base_rates_at_output_stride_16():
    plans = atrous.plan_network(16, RESNET101_CASCADE)
    assert [rates_of(plans, b) for b in (1, 2, 3)] == [(1,) * 3, (1,) * 4, (1,) * 23]
    assert [rates_of(plans, b)[-1] for b in (4, 5, 6, 7)] == [2, 4, 8, 16]


def test_fig3a_without_atrous_convolution_reaches_256():
    plans = atrous.plan_network(256, RESNET101_CASCADE)
    assert all(unit.rate == unit.entry_rate == 1 for block in plans for unit in block)
    assert [block[0].stride for block in plans] == [1, 2, 2, 2, 2, 2, 2]


def test_multi_grid_124_at_output_stride_16_is_248_as_the_paper_writes_it():
    plans = atrous.plan_network(16, (3, 4, 23, 3), {4: (1, 2, 4)}, contract_dilation=False)
    assert tuple(unit.entry_rate for unit in plans[3]) == (2, 4, 8)


def test_first_unit_keeps_the_rate_before_its_own_stride():
    entry = atrous.plan_network(8, (3, 4, 6, 3), {4: (1, 2, 4)})
    assert tuple(unit.entry_rate for unit in entry[2]) == (1, 2, 2, 2, 2, 2)
    assert tuple(unit.entry_rate for unit in entry[3]) == (2, 8, 16)


@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_strides_in_last_units_as_tf_slim_places_them(output_stride):
    # slim: once the stride is reached, strides are 1 and multiply the rate of the units after them
    stride, rate = 4, 1
    for block, units in enumerate(
        atrous.plan_network(output_stride, (3, 4, 6, 3), {4: (1, 2, 4)}, strides_last=True), 1
    ):
        for number, unit in enumerate(units, 1):
            unit_rate = (1, 2, 4)[number - 1] if block == 4 else 1
            nominal = 2 if block < 4 and number == len(units) else 1
            applied = nominal if stride < output_stride else 1
            assert (unit.stride, unit.entry_rate) == (applied, rate * unit_rate)
            stride *= applied
            rate *= nominal // applied
    assert stride == output_stride


@pytest.mark.parametrize('output_stride', [8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize('contract', [True, False])
def test_strides_multiply_to_the_output_stride_and_make_up_for_the_rates(output_stride, contract):
    plans = atrous.plan_network(output_stride, RESNET101_CASCADE, contract_dilation=contract)
    stride = 4
    for block, units in enumerate(plans, start=1):
        for unit in units:
            stride *= unit.stride
        assert stride == atrous.block_output_stride(output_stride, block)
        assert stride * units[-1].rate == atrous.full_stride(block)
    assert stride == output_stride


@pytest.mark.parametrize('bad', [0, 4, 7, 12, 24, -8, 16.0, '16', None])
def test_bad_output_stride(bad):
    with pytest.raises(ValueError, match='power of two of at least 8, but got'):
        atrous.check_output_stride(bad)


def test_output_stride_out_of_reach():
    with pytest.raises(ValueError, match='64 is out of reach: a network of 4 blocks .* of 32'):
        atrous.plan_network(64, (3, 4, 6, 3))


@pytest.mark.parametrize('multi_grid', [(1, 2, 4, 8), (1, 2)])
def test_multi_grid_must_fit_the_units(multi_grid):
    with pytest.raises(ValueError, match=f'{len(multi_grid)} unit rates, but block4 has 3 units'):
        atrous.plan_network(16, (3, 4, 6, 3), {4: multi_grid})


def test_multi_grid_below_one():
    with pytest.raises(ValueError, match=r'at least 1, but got \(1, 0, 2\)'):
        atrous.plan_network(16, (3, 4, 6, 3), {4: (1, 0, 2)})


def test_aspp_rates_follow_the_output_stride():
    assert atrous.aspp_rates((6, 12, 18), 16) == (6, 12, 18)
    assert atrous.aspp_rates((6, 12, 18), 8) == (12, 24, 36)
    assert atrous.aspp_rates((6, 12, 18), 32) == (3, 6, 9)


def test_aspp_rate_that_does_not_scale():
    with pytest.raises(ValueError, match='rate 6 .* no whole number .* at output_stride 64'):
        atrous.aspp_rates((6, 12, 18), 64)


@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_aligned_size_is_the_smallest_legal_one(output_stride):
    for size in range(1, 200):
        legal = [s for s in range(1, 400) if s >= size and s % output_stride == 1]
        assert atrous.aligned_size(size, output_stride) == min(legal)
    assert atrous.aligned_size(513, output_stride) == 513
    assert atrous.aligned_size(769, output_stride) == 769


def test_feature_size_of_the_papers_crop():
    assert [atrous.feature_size(513, s) for s in (8, 16, 32)] == [65, 33, 17]
    assert atrous.feature_size(512, 8) == 64


@pytest.mark.parametrize('height,width', [(1, 1), (5, 8), (13, 13)])
@pytest.mark.parametrize('rate', [1, 2, 4, 6, 7, 12, 13, 20])
def test_valid_taps_against_counting(height, width, rate):
    valid = sum(
        0 <= y + dy * rate < height and 0 <= x + dx * rate < width
        for y, x in itertools.product(range(height), range(width))
        for dy, dx in itertools.product((-1, 0, 1), repeat=2)
    )
    share = atrous.valid_tap_share(height, width, rate)
    assert share == pytest.approx(valid / (9 * height * width))


def test_fig4_the_filter_degenerates_to_1x1_on_a_65x65_map():
    shares = [atrous.valid_tap_share(65, 65, rate) for rate in range(1, 66)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.97 and shares[-1] == pytest.approx(1 / 9)


@pytest.mark.parametrize('value', [4, None, 2.5, {1: 2}])
def test_what_is_no_list_is_named(value):
    with pytest.raises(ValueError, match=r'^rates must be a list, such as \(6, 12, 18\), but got'):
        atrous.aspp_rates(value, 16)
    if value is not None:
        with pytest.raises(ValueError, match='^multi_grid must be a list, .* but got'):
            atrous.check_multi_grid(value, 3, 4)
