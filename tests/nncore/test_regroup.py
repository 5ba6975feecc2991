"""Networks that move between stacks, and stacks in files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import BATCH_NORM, make_architecture, make_component, make_data, make_network, mixed_networks, vary_numbers

from nncore.stack import checkpoint as stack_file
from nncore.stack.regroup import collect, freeze
from nncore.stack.state import start
from nncore.stack.training import train

STOPPING = make_component("early_stopping", patience=1)


def half_trained(epochs=2, keys="abc", **rest):
    architecture = make_architecture(**rest)
    networks = [make_network(key, seed, make_component("adam", learning_rate=0.01)) for seed, key in enumerate(keys)]
    return train(start(architecture, networks), make_data(architecture), epochs, {})[0]


def assert_same_stacks(stack, expected):
    assert (stack.architecture, stack.networks, stack.epoch) == (
        expected.architecture,
        expected.networks,
        expected.epoch,
    )
    for arrays, expected_arrays in ((stack.state, expected.state), (stack.stopped, expected.stopped)):
        assert arrays.keys() == expected_arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, expected_arrays[name], strict=True)
    np.testing.assert_array_equal(stack.parameters, expected.parameters, strict=True)


def test_collecting_all_networks_in_their_order_changes_nothing():
    architecture = make_architecture(normalisation=BATCH_NORM)
    stack, _ = train(start(architecture, mixed_networks()), make_data(architecture), 2, {})
    keys = [network.key for network in stack.networks]
    assert_same_stacks(collect(stack.networks, keys, [stack]), replace(stack, stopped={}))
    parts = [stack.take(range(index, len(keys), 3)) for index in range(3)]
    assert_same_stacks(collect(stack.networks, keys, parts), replace(stack, stopped={}))


def test_a_perturbed_copy_continues_from_its_origin():
    stack = half_trained()
    copies = [
        replace(stack.networks[1], key=key, seed=9, optimizer=vary_numbers(stack.networks[1].optimizer, share))
        for key, share in (("x", 0.2), ("y", -0.2))
    ]
    both = collect([*copies, stack.networks[0]], ["b", "b", "a"], [stack])
    for position, origin in enumerate((1, 1, 0)):
        np.testing.assert_array_equal(both.parameters[position], stack.parameters[origin])
        for name, array in both.state.items():
            np.testing.assert_array_equal(array[position], stack.state[name][origin])
    both.parameters[0] = 0
    assert both.parameters[1].any()
    assert stack.parameters[1].any()
    trained_stack, reports = train(both, make_data(both.architecture), 4, {})
    assert reports["x"].fingerprint != reports["y"].fingerprint
    assert trained_stack.epoch == 4


def test_networks_that_do_not_fit_together_are_refused():
    stack, sgd = half_trained(), make_network("d", 0, make_component("sgd", learning_rate=0.1))
    first = stack.networks[0]
    later, other_architecture = half_trained(3, "d"), half_trained(2, "d", sizes=(5, 6, 3))
    for networks, origins, sources, message in (
        ([replace(first, key="x")], ["q"], [stack], "'x' is to continue from 'q', which is not in the sources"),
        ([sgd], ["a"], [stack], "'d' must have components of the same kinds as 'a'"),
        (
            [first],
            ["a"],
            [stack, later],
            "one architecture and one epoch, but 'a' has .* after epoch 2 and 'd' .* epoch 3",
        ),
        ([first], ["a"], [stack, other_architecture], "one architecture and one epoch, but 'a' has "),
        ([first], ["a"], [stack, stack.take([0])], "each network once, but 'a' occurs more often"),
        ([first], ["a"], [], "sources must hold networks"),
        ([first], ["a"], [stack.take([])], "sources must hold networks"),
        ([], [], [stack], "networks must be at least one"),
        ([first, first], ["a", "a"], [stack], "unique keys"),
        ([first], ["a", "b"], [stack], "longer"),
    ):
        with pytest.raises(ValueError, match=message):
            collect(networks, origins, sources)
    assert collect([first], ["a"], [stack.take([]), stack]).networks == (first,)


def test_freezing_keeps_the_selected_weights_and_drops_the_training_state():
    architecture = make_architecture((5, 7, 6, 3), normalisation=BATCH_NORM)
    early = make_network("early", 2, make_component("sgd", learning_rate=0.5), STOPPING)
    stack, _ = train(start(architecture, [early, *mixed_networks()]), make_data(architecture), 8, {})
    assert "early" in stack.stopped
    frozen = freeze(stack)
    assert (frozen.networks, frozen.state, frozen.epoch) == ((), {}, 8)
    assert frozen.stopped.keys() == {"early", *(network.key for network in mixed_networks())}
    for key in frozen.stopped:
        np.testing.assert_array_equal(frozen.selected_weights_of(key), stack.selected_weights_of(key), strict=True)
    assert_same_stacks(freeze(frozen), frozen)
    assert frozen.selected_weights().shape == (0, architecture.buffer_size)
    with pytest.raises(KeyError):
        frozen.selected_weights_of("nobody")
    for data_of_it in (make_data(architecture), (make_data(architecture), make_data(architecture))):
        again, reports = train(frozen, data_of_it, 20, {})
        assert_same_stacks(again, frozen)
        assert reports == {}
    assert frozen.groups() == frozen.view_runs() == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_stack_comes_back_from_its_file_to_the_last_bit(dtype, tmp_path):
    architecture = make_architecture((5, 7, 6, 3), normalisation=BATCH_NORM, dtype=dtype)
    early = make_network("early", 2, make_component("sgd", learning_rate=0.5), STOPPING)
    nested = make_network("nested", 3, schedule=make_component("warm_up", epochs=2, then=make_component("constant")))
    nested = replace(
        nested, optimizer=make_component("lookahead", optimizer=make_component("adam", learning_rate=0.01)), view=1
    )
    networks, data = [early, nested, *mixed_networks()], (make_data(architecture), make_data(architecture, seed=1))
    stack, _ = train(start(architecture, networks), data, 6, {})
    assert "early" in stack.stopped
    for saved in (start(architecture, networks), stack, freeze(stack)):
        digest = stack_file.save(saved, tmp_path / "stack")
        again = stack_file.load(tmp_path / "stack", digest)
        assert_same_stacks(again, saved)
        (resumed, reports), (expected, expected_reports) = train(again, data, 8, {}), train(saved, data, 8, {})
        assert_same_stacks(resumed, expected)
        assert reports == expected_reports


def test_a_file_that_is_no_stack_is_refused(tmp_path):
    stack = half_trained()
    digest = stack_file.save(stack, tmp_path / "stack")
    with pytest.raises(ValueError, match=f"{tmp_path / 'stack'} cannot be read: .*it is not the expected file"):
        stack_file.load(tmp_path / "stack", digest[::-1])
    damaged = bytearray(Path(tmp_path / "stack").read_bytes())
    damaged[-100] ^= 1
    (tmp_path / "stack").write_bytes(damaged)
    with pytest.raises(ValueError, match="changed or truncated"):
        stack_file.load(tmp_path / "stack")
    stack_file.save(replace(stack, parameters=stack.parameters[:1]), tmp_path / "stack")
    with pytest.raises(ValueError, match="parameters are not float32 of shape"):
        stack_file.load(tmp_path / "stack")
    for changed in (
        {"parameters": np.full_like(stack.parameters, np.nan)},
        {"stopped": {"it": np.full(stack.parameters.shape[1], np.inf, np.float32)}},
    ):
        stack_file.save(replace(stack, **changed), tmp_path / "stack")
        with pytest.raises(ValueError, match="parameters are not finite"):
            stack_file.load(tmp_path / "stack")
    stack_file.array_file.write(tmp_path / "stack", stack.networks, stack_file.CLASSES)
    with pytest.raises(ValueError, match="does not hold a stack"):
        stack_file.load(tmp_path / "stack")
    with pytest.raises(FileNotFoundError):
        stack_file.load(tmp_path / "nothing")
