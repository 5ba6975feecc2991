"""Law 2, isolation: a network that diverges is stopped and labelled; its neighbours are bit-equal."""

from dataclasses import replace

import numpy as np
import pytest
from discovery import OPTIMIZERS, short_name, with_arguments
from samples import (
    BATCH_NORM,
    SQUARED,
    TANH,
    can_be_combined,
    make_architecture,
    make_component,
    make_data,
    make_network,
    mixed_networks,
    train_reports,
)

from nncore.metrics import accuracy
from nncore.stack.state import start
from nncore.stack.training import train


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short_name)
def test_law_2_neighbours_of_a_diverging_network_are_bit_equal(optimizer):
    """Divergence by a huge learning rate; for optimizers with bounded steps, by huge input noise."""
    architecture = make_architecture((5, 7, 6, 3), loss=SQUARED, normalisation=BATCH_NORM)
    rate = with_arguments(optimizer, learning_rate=1e30)
    noise = (make_component("input_noise", deviation=1e30),)
    diverging = make_network(
        "wild", 0, rate, *(component for component in noise if can_be_combined(component, rate, SQUARED))
    )
    if (
        optimizer.short_name == "lbfgs"
    ):  # its line search accepts no step that increases the loss: make the initial loss huge
        diverging = make_network("wild", 0, rate, make_component("l2", strength=1e36))
    neighbours = mixed_networks(loss=SQUARED)[:6]
    undisturbed = train_reports(architecture, neighbours, epochs=4)
    for position in (0, 3, len(neighbours)):
        reports = train_reports(architecture, [*neighbours[:position], diverging, *neighbours[position:]], epochs=4)
        report = reports.pop("wild")
        assert reports == undisturbed
        if optimizer.short_name != "lbfgs":
            assert 1 <= report.diverged[0] <= 4
            assert "loss was" in report.diverged[1]


def test_law_2_nan_parameters_do_not_spread_to_other_networks():
    architecture = make_architecture()
    networks = [*mixed_networks(), make_network("early", 0, None, make_component("early_stopping", patience=1))]
    data = make_data(architecture)
    _, undisturbed = train(start(architecture, networks), data, 3, {})
    for poison in (np.nan, np.inf, -np.inf):
        stack = start(architecture, networks)
        stack.parameters[4] = poison
        result, reports = train(stack, data, 3, {})
        assert reports.pop(networks[4].key).diverged == (1, "train/loss was nan (limit 1e+06)")
        assert reports == {key: report for key, report in undisturbed.items() if key != networks[4].key}
        assert networks[4] not in result.networks
        assert networks[4].key not in result.stopped


@pytest.mark.parametrize("poison", [np.inf, -np.inf])
def test_law_2_infinite_weights_behind_a_saturated_activation_count_as_divergence(poison):
    """An infinite bias gives tanh(inf) = 1: the loss and all gradients stay finite, but the model could not be used."""
    architecture, networks = make_architecture(activation=TANH), mixed_networks()[:4]
    data = make_data(architecture)
    _, undisturbed = train(start(architecture, networks), data, 3, {})
    stack = start(architecture, networks)
    stack.parameters[2, architecture.n_weights] = poison
    result, reports = train(stack, data, 3, {})
    assert reports.pop(networks[2].key).diverged == (1, "its weights were not finite")
    assert reports == {key: report for key, report in undisturbed.items() if key != networks[2].key}
    assert networks[2] not in result.networks


def test_law_2_a_finite_loss_above_the_limit_counts_as_divergence():
    architecture = make_architecture(loss=SQUARED)
    data = make_data(architecture)
    networks = [
        make_network("a", 0, make_component("sgd", learning_rate=0.01)),
        make_network("b", 1, make_component("sgd", learning_rate=0.01)),
    ]
    _, free = train(start(architecture, networks), data, 2, {})
    loss = {key: report.curves["train/loss"][0] for key, report in free.items()}
    low, high = sorted(loss, key=loss.get)
    _, reports = train(start(architecture, networks), data, 2, {}, loss_limit=(loss[low] + loss[high]) / 2)
    assert reports[high].diverged[0] == 1
    assert f"{loss[high]:.3g}" in reports[high].diverged[1]
    assert reports[high].curves == {}
    assert reports[high].fingerprint == ""
    assert reports[low] == free[low]


def test_law_2_a_neighbour_that_diverges_earlier_changes_no_report():
    architecture = make_architecture((5, 3), loss=SQUARED)
    slow = make_network("slow", 0, make_component("sgd", learning_rate=3.0))
    fast = make_network("fast", 1, make_component("sgd", learning_rate=1e30))
    alone = train_reports(architecture, [slow], 30)
    together = train_reports(architecture, [slow, fast], 30)
    assert together["fast"].diverged[0] < together["slow"].diverged[0]
    assert together["slow"] == alone["slow"]
    assert (alone["slow"].selected_epoch, alone["slow"].fingerprint) == (0, "")


def test_law_2_training_ends_when_all_have_diverged():
    architecture = make_architecture(loss=SQUARED)
    networks = [make_network(str(seed), seed, make_component("sgd", learning_rate=1e30)) for seed in range(3)]
    result, reports = train(start(architecture, networks), make_data(architecture), 1000, {})
    assert result.networks == ()
    assert all(report.diverged for report in reports.values())


def test_law_2_networks_of_other_views_are_bit_equal_when_a_view_diverges():
    architecture = make_architecture()
    data, huge_data = make_data(architecture), make_data(architecture, seed=1)
    huge_data.train.x[:] *= np.float32(1e30)
    networks = [replace(network, view=index % 2) for index, network in enumerate(mixed_networks())]
    undisturbed = train_reports(
        architecture, [replace(network, view=0) for network in networks if network.view == 0], data=data
    )
    result, reports = train(start(architecture, networks), (data, huge_data), 3, {"accuracy": accuracy()})
    assert {key: reports[key] for key in undisturbed} == undisturbed
    diverged = {key for key, report in reports.items() if report.diverged}
    assert diverged
    assert diverged.isdisjoint(undisturbed)
    assert diverged.isdisjoint(network.key for network in result.networks)
