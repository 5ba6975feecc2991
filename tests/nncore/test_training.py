"""Whole training: against torch's loss curves on real data, and what training promises."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from references import assert_meets, reference
from samples import BATCH_NORM, RELU, SOFTMAX, SQUARED, TANH, data, member, network, shape, trained
from sklearn.datasets import load_digits

from nncore.members import Member
from nncore.shape import Layer, Shape
from nncore.stack import start
from nncore.training import Data, Rows, train

REFERENCE = reference("training")
GELU = Member("nncore.activations.gelu")
LAYER_NORM = Member("nncore.normalisations.layer_norm")


def case(name):
    """The shape and the network of a case."""
    rest = {"loss": SOFTMAX, "batch_size": REFERENCE["batch"], "dtype": "float64"}
    if name == "adam_relu_l2":
        layers = (Layer(32, RELU), Layer(10))
        one = network("it", 0, member("adam", learning_rate=1e-3), member("l2", strength=1e-3))
    elif name == "momentum_batch_norm_cosine":
        layers = (Layer(32, TANH, BATCH_NORM), Layer(10))
        cosine = member("cosine", epochs=REFERENCE["epochs"])
        one = network("it", 0, member("momentum", learning_rate=0.05), schedule=cosine)
    else:
        layers = (Layer(32, GELU, LAYER_NORM), Layer(32, GELU, LAYER_NORM, residual=True), Layer(10))
        one = network("it", 0, member("adamw", learning_rate=2e-3, weight_decay=0.05))
    return Shape(64, layers, **rest), one


@pytest.mark.parametrize("name", REFERENCE["cases"])
def test_training_follows_torchs_loss_curve_on_digits(name):
    of, one = case(name)
    digits = load_digits()
    x, t = digits.data / 16, np.eye(10)[digits.target]
    watched = slice(0, REFERENCE["validation_rows"])
    _, reports = train(start(of, [one]), Data(Rows(x, t), Rows(x[watched], t[watched])), REFERENCE["epochs"], {})
    curves = reports["it"].curves
    assert len(curves["train/loss"]) == 20
    assert_meets(curves["train/loss"], REFERENCE["cases"][name]["losses"], 1e-9)
    assert_meets(curves["validation/loss"], REFERENCE["cases"][name]["validation_losses"], 1e-9)


def test_weights_of_whole_numbers_equal_repeated_rows():
    of = shape(dtype="float64", batch_size=1000)
    on, times = data(of), np.random.default_rng(0).integers(0, 4, size=37)
    weighted = on._replace(train=on.train._replace(weights=times.astype(float)))
    repeated = on._replace(train=Rows(*(array.repeat(times, axis=0) for array in on.train[:2])))
    one = network("it", 0, member("gradient_descent", learning_rate=0.3))
    ends = [train(start(of, [one]), each, 5, {})[0].parameters for each in (weighted, repeated)]
    assert_meets(ends[0], ends[1], 1e-10)
    assert np.abs(ends[0] - train(start(of, [one]), on, 5, {})[0].parameters).max() > 1e-3


def test_only_the_ratios_of_weights_matter_and_metrics_are_weighted():
    of = shape(dtype="float64")
    on = data(of, weighted=True)
    larger = Data(*(rows._replace(weights=rows.weights * 8) for rows in on))
    one = network()
    assert trained(of, [one], on=on) == trained(of, [one], on=larger)
    none = Data(*(rows._replace(weights=None) for rows in on))
    even = Data(*(rows._replace(weights=np.full(len(rows.x), 0.5)) for rows in on))
    for name, curve in trained(of, [one], on=none)["it"].curves.items():
        assert_meets(trained(of, [one], on=even)["it"].curves[name], curve)
        assert trained(of, [one], on=on)["it"].curves[name] != curve


def test_resumed_from_any_epoch_it_ends_the_same():
    of = shape(normalisation=BATCH_NORM)
    on = data(of)
    ema, plateau = member("ema", decay=0.9), member("reduce_on_plateau", patience=0)
    one = network("it", 0, member("adam", learning_rate=0.1), ema, schedule=plateau)
    straight, _ = train(start(of, [one]), on, 9, {})
    for epoch in range(9):
        half, _ = train(start(of, [one]), on, epoch, {})
        arrays = {name: np.array(array) for name, array in half.state.items()}  # as if read from a file
        again, _ = train(replace(start(of, [one]), epoch=epoch, parameters=half.parameters, state=arrays), on, 9, {})
        np.testing.assert_array_equal(again.answer("it"), straight.answer("it"))


def test_a_batch_larger_than_the_data_is_one_batch():
    of = shape(batch_size=1000)
    assert len(trained(of, [network()], 2, data(of))["it"].curves["train/loss"]) == 2


def test_every_epoch_shows_each_row_once_in_an_order_of_its_own():
    """With weights that hardly move, an epoch's mean loss is that of all rows, whatever their order."""
    of = shape((5, 3), loss=SQUARED, dtype="float64", batch_size=7)
    still = network("it", 0, member("sgd", learning_rate=1e-15))
    curve = trained(of, [still], 4)["it"].curves["train/loss"]
    assert_meets(curve, [curve[0]] * 4)
    moving = network("it", 0, member("sgd", learning_rate=0.01))
    large = shape((5, 3), loss=SQUARED, dtype="float64", batch_size=37)
    assert trained(of, [moving], 1) != trained(of, [replace(moving, seed=1)], 1)
    assert trained(large, [moving], 1) != trained(of, [moving], 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ()}, "sizes must be"),
        ({"layers": (Layer(0), Layer(3))}, "sizes must be"),
        ({"batch_size": 0}, "batch_size must be >= 1"),
        ({"dtype": "float16"}, "dtype must be float32 or float64"),
        ({"layers": (Layer(4, residual=True),)}, "a residual layer must keep its width, but layer 0 goes from 5 to 4"),
        ({"layers": (Layer(4, tied_to=0),)}, "tied_to must name an earlier layer"),
        ({"layers": (Layer(4), Layer(5, tied_to=1))}, "tied_to must name an earlier layer"),
        ({"layers": (Layer(4), Layer(6, tied_to=0))}, "layer 1 must mirror layer 0"),
    ],
)
def test_an_impossible_shape_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(shape(), **change)


def test_members_that_do_not_go_together_are_refused():
    smoothing, drop = member("label_smoothing", strength=0.1), member("dropout")
    with pytest.raises(ValueError, match="label_smoothing is for one-hot or binary targets, not for real ones"):
        start(shape(loss=SQUARED), [network("it", 0, None, smoothing)])
    with pytest.raises(ValueError, match="dropout changes the objective in each step, but lbfgs needs one that stays"):
        start(shape(), [network(), network("b", 0, member("lbfgs"), drop)])
    with pytest.raises(ValueError, match="regularizers must be one of a kind, but network 1 of 2 has"):
        start(shape(), [network(), network("b", 0, None, drop, member("dropout", rate=0.1))])


def test_a_stack_can_be_pickled_after_it_was_trained():
    """As multiprocessing and Ray's channels do; nothing that comes from disk is ever unpickled."""
    stack, _ = train(start(shape(), [network()]), data(shape()), 1, {})
    again = pickle.loads(pickle.dumps(stack))
    assert again.shape == stack.shape
    assert train(again, data(shape()), 3, {})[1] == train(stack, data(shape()), 3, {})[1]
