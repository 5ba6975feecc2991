"""Law 2, isolation: a network that diverges is stopped and labelled, and leaves its neighbours bit-equal."""

import numpy as np
import pytest
from discovery import OPTIMIZERS, short
from samples import SQUARED, data, member, mixed_networks, shape, trained

from nncore.members import Member
from nncore.stack import Network, start
from nncore.training import train


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short)
def test_law_2_neighbours_of_a_diverging_network_are_bit_equal(optimizer):
    of = shape(loss=SQUARED)
    wild = Network("wild", 0, Member(optimizer.name, (("learning_rate", 1e30),)))
    calm = [network for network in mixed_networks() if network.optimizer.name == optimizer.name]
    undisturbed = trained(of, calm, epochs=4)
    for position in range(len(calm) + 1):
        reports = trained(of, [*calm[:position], wild, *calm[position:]], epochs=4)
        epoch, cause = reports.pop("wild").diverged
        assert reports == undisturbed
        assert 1 <= epoch <= 4
        assert "loss was" in cause


def test_law_2_nan_parameters_stay_with_their_network():
    of = shape()
    networks = mixed_networks()
    on = data(of)
    _, undisturbed = train(start(of, networks), on, 3, {})
    for poison in (np.nan, np.inf, -np.inf):
        stack = start(of, networks)
        stack.parameters[4] = poison
        left, reports = train(stack, on, 3, {})
        assert reports.pop(networks[4].key).diverged == (1, "train/loss was nan (limit 1e+06)")
        assert reports == {key: report for key, report in undisturbed.items() if key != networks[4].key}
        assert networks[4] not in left.networks
        assert len(left.parameters) == len(networks) - 1


def test_law_2_a_finite_loss_above_the_limit_counts_as_divergence():
    of = shape(loss=SQUARED)
    on = data(of)
    networks = [Network("a", 0, member("sgd", learning_rate=0.01)), Network("b", 1, member("sgd", learning_rate=0.01))]
    _, free = train(start(of, networks), on, 2, {})
    loss = {key: report.curves["train/loss"][0] for key, report in free.items()}
    low, high = sorted(loss, key=loss.get)
    _, reports = train(start(of, networks), on, 2, {}, loss_limit=(loss[low] + loss[high]) / 2)
    assert reports[high].diverged[0] == 1
    assert f"{loss[high]:.3g}" in reports[high].diverged[1]
    assert reports[high].curves == {}
    assert reports[high].fingerprint == ""
    assert reports[low] == free[low]


def test_law_2_training_ends_when_all_have_diverged():
    of = shape(loss=SQUARED)
    wild = [Network(str(seed), seed, member("sgd", learning_rate=1e30)) for seed in range(3)]
    left, reports = train(start(of, wild), data(of), 1000, {})
    assert left.networks == ()
    assert all(report.diverged for report in reports.values())
