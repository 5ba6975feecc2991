"""Networks that change their stacks, and stacks on disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import BATCH_NORM, component, data, mixed_networks, network, shape, varied

from nncore.stack import checkpoint as stack_file
from nncore.stack.regroup import collect, freeze
from nncore.stack.state import start
from nncore.stack.training import train

STOPPING = component("early_stopping", patience=1)


def half_trained(epochs=2, keys="abc", **rest):
    of = shape(**rest)
    networks = [network(key, seed, component("adam", learning_rate=0.01)) for seed, key in enumerate(keys)]
    return train(start(of, networks), data(of), epochs, {})[0]


def assert_same_stacks(one, other):
    assert (one.architecture, one.networks, one.epoch) == (other.architecture, other.networks, other.epoch)
    for arrays, others in ((one.state, other.state), (one.stopped, other.stopped)):
        assert arrays.keys() == others.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, others[name], strict=True)
    np.testing.assert_array_equal(one.parameters, other.parameters, strict=True)


def test_collecting_all_networks_in_their_order_changes_nothing():
    of = shape(normalisation=BATCH_NORM)
    stack, _ = train(start(of, mixed_networks()), data(of), 2, {})
    keys = [one.key for one in stack.networks]
    assert_same_stacks(collect(stack.networks, keys, [stack]), replace(stack, stopped={}))
    parts = [stack.take(range(index, len(keys), 3)) for index in range(3)]
    assert_same_stacks(collect(stack.networks, keys, parts), replace(stack, stopped={}))


def test_a_perturbed_copy_goes_on_from_its_origin():
    stack = half_trained()
    copies = [
        replace(stack.networks[1], key=key, seed=9, optimizer=varied(stack.networks[1].optimizer, share))
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
    ended, reports = train(both, data(both.architecture), 4, {})
    assert reports["x"].fingerprint != reports["y"].fingerprint
    assert ended.epoch == 4


def test_what_does_not_fit_is_refused():
    stack, sgd = half_trained(), network("d", 0, component("sgd", learning_rate=0.1))
    first = stack.networks[0]
    later, other = half_trained(3, "d"), half_trained(2, "d", sizes=(5, 6, 3))
    for networks, origins, sources, message in (
        ([replace(first, key="x")], ["q"], [stack], "'x' is to continue from 'q', which is not in the sources"),
        ([sgd], ["a"], [stack], "'d' must have components of the same kinds as 'a'"),
        (
            [first],
            ["a"],
            [stack, later],
            "one architecture and one epoch, but 'a' has .* after epoch 2 and 'd' .* epoch 3",
        ),
        ([first], ["a"], [stack, other], "one architecture and one epoch, but 'a' has "),
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


def test_a_settled_stack_answers_as_before_and_trains_no_more():
    of = shape((5, 7, 6, 3), normalisation=BATCH_NORM)
    early = network("early", 2, component("sgd", learning_rate=0.5), STOPPING)
    stack, _ = train(start(of, [early, *mixed_networks()]), data(of), 8, {})
    assert "early" in stack.stopped
    done = freeze(stack)
    assert (done.networks, done.state, done.epoch) == ((), {}, 8)
    assert done.stopped.keys() == {"early", *(one.key for one in mixed_networks())}
    for key in done.stopped:
        np.testing.assert_array_equal(done.selected_weights_of(key), stack.selected_weights_of(key), strict=True)
    assert_same_stacks(freeze(done), done)
    assert done.selected_weights().shape == (0, of.buffer_size)
    with pytest.raises(KeyError):
        done.selected_weights_of("nobody")
    for data_of_it in (data(of), (data(of), data(of))):
        again, reports = train(done, data_of_it, 20, {})
        assert_same_stacks(again, done)
        assert reports == {}
    assert done.groups() == done.view_runs() == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_stack_comes_back_from_its_file_to_the_last_bit(dtype, tmp_path):
    of = shape((5, 7, 6, 3), normalisation=BATCH_NORM, dtype=dtype)
    early = network("early", 2, component("sgd", learning_rate=0.5), STOPPING)
    nested = network("nested", 3, schedule=component("warm_up", epochs=2, then=component("constant")))
    nested = replace(nested, optimizer=component("lookahead", optimizer=component("adam", learning_rate=0.01)), view=1)
    networks, on = [early, nested, *mixed_networks()], (data(of), data(of, seed=1))
    stack, _ = train(start(of, networks), on, 6, {})
    assert "early" in stack.stopped
    for one in (start(of, networks), stack, freeze(stack)):
        digest = stack_file.save(one, tmp_path / "stack")
        again = stack_file.load(tmp_path / "stack", digest)
        assert_same_stacks(again, one)
        (ended, reports), (expected, expected_reports) = train(again, on, 8, {}), train(one, on, 8, {})
        assert_same_stacks(ended, expected)
        assert reports == expected_reports


def test_a_file_that_is_no_stack_is_refused(tmp_path):
    stack = half_trained()
    digest = stack_file.save(stack, tmp_path / "stack")
    with pytest.raises(ValueError, match=f"{tmp_path / 'stack'} cannot be read: .*it is not the expected file"):
        stack_file.load(tmp_path / "stack", digest[::-1])
    spoilt = bytearray(Path(tmp_path / "stack").read_bytes())
    spoilt[-100] ^= 1
    (tmp_path / "stack").write_bytes(spoilt)
    with pytest.raises(ValueError, match="changed or truncated"):
        stack_file.load(tmp_path / "stack")
    stack_file.save(replace(stack, parameters=stack.parameters[:1]), tmp_path / "stack")
    with pytest.raises(ValueError, match="parameters are not float32 of shape"):
        stack_file.load(tmp_path / "stack")
    stack_file.array_file.write(tmp_path / "stack", stack.networks, stack_file.CLASSES)
    with pytest.raises(ValueError, match="does not hold a stack"):
        stack_file.load(tmp_path / "stack")
    with pytest.raises(FileNotFoundError):
        stack_file.load(tmp_path / "nothing")
