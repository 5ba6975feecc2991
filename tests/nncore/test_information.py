"""Entropy and related measures compared with SciPy, scikit-learn and closed forms, and their laws.

The last test also covers calibration: no array is transferred from a GPU implicitly.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr, xlogy
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import brier_score_loss, log_loss

from nncore import calibration
from nncore.information import brier_score, cross_entropy, entropy, kl_divergence, negative_log_likelihood

RANDOM = np.random.default_rng(0)
P, Q = RANDOM.dirichlet(np.ones(4), size=(2, 3, 50))  # each (K, N, O) = (3, 50, 4)
CLASSES = RANDOM.integers(4, size=50)
T = np.eye(4)[CLASSES][None]
YES = CLASSES > 1
WEIGHTS = RANDOM.uniform(0.1, 5, size=50)
HALVES = np.array([[[1 / 2, 1 / 4, 1 / 8, 1 / 8]]])
UNIFORM = np.full((1, 1, 4), 1 / 4)
PAIRS = (cross_entropy, kl_divergence, negative_log_likelihood, brier_score)
SCORES = (negative_log_likelihood, brier_score)


def binary(p):
    """The probability of class 1 alone, (K, N, 1)."""
    return p[:, :, :1] + p[:, :, 1:2]


def both_columns(p):
    """Both columns of a binary output."""
    return np.stack([1 - p[:, :, 0], p[:, :, 0]], axis=2)


def test_entropy_is_scipys():
    np.testing.assert_allclose(entropy(P), scipy_entropy(P, axis=2).mean(axis=1), rtol=1e-13)


def test_cross_entropy_is_scipys_xlogy():
    np.testing.assert_allclose(cross_entropy(P, Q), -xlogy(P, Q).sum(axis=2).mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(cross_entropy(P[:1], Q), -xlogy(P[:1], Q).sum(axis=2).mean(axis=1), rtol=1e-13)


def test_kl_divergence_is_scipys_rel_entr():
    np.testing.assert_allclose(kl_divergence(P, Q), rel_entr(P, Q).sum(axis=2).mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(kl_divergence(P, Q[:1]), rel_entr(P, Q[:1]).sum(axis=2).mean(axis=1), rtol=1e-13)


def test_closed_forms():
    bit = np.log(2)
    np.testing.assert_allclose(entropy(HALVES), [7 / 4 * bit], rtol=1e-15)
    np.testing.assert_allclose(entropy(UNIFORM), [2 * bit], rtol=1e-15)
    np.testing.assert_allclose(cross_entropy(UNIFORM, HALVES), [9 / 4 * bit], rtol=1e-15)
    np.testing.assert_allclose(kl_divergence(UNIFORM, HALVES), [1 / 4 * bit], rtol=1e-14)
    np.testing.assert_allclose(kl_divergence(HALVES, UNIFORM), [1 / 4 * bit], rtol=1e-14)
    np.testing.assert_allclose(brier_score(HALVES, np.array([[[0, 0, 1, 0]]])), [70 / 64], rtol=1e-15)
    np.testing.assert_allclose(negative_log_likelihood(HALVES, np.array([[[0, 0, 1, 0]]])), [3 * bit], rtol=1e-15)


def test_one_output_is_the_probability_of_class_1():
    p, q, t = binary(P), binary(Q), YES.astype(float)[None, :, None]
    np.testing.assert_allclose(entropy(p), scipy_entropy(both_columns(p), axis=2).mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(
        cross_entropy(p, q), -xlogy(both_columns(p), both_columns(q)).sum(axis=2).mean(axis=1), rtol=1e-13
    )
    np.testing.assert_allclose(
        kl_divergence(p, q), rel_entr(both_columns(p), both_columns(q)).sum(axis=2).mean(axis=1), rtol=1e-12
    )
    expected = [log_loss(YES, network[:, 0]) for network in p]
    np.testing.assert_allclose(negative_log_likelihood(p, t), expected, rtol=1e-13)
    expected = [2 * brier_score_loss(YES, network[:, 0]) for network in p]  # scikit-learn's counts class 1 only
    np.testing.assert_allclose(brier_score(p, t), expected, rtol=1e-13)


def test_negative_log_likelihood_is_sklearns_log_loss():
    expected = [log_loss(CLASSES, p) for p in P]
    np.testing.assert_allclose(negative_log_likelihood(P, T), expected, rtol=1e-13)
    expected = [log_loss(CLASSES, p, sample_weight=WEIGHTS) for p in P]
    np.testing.assert_allclose(negative_log_likelihood(P, T, weights=WEIGHTS), expected, rtol=1e-13)
    np.testing.assert_allclose(negative_log_likelihood(P, T, weights=WEIGHTS[None]), expected, rtol=1e-13)


def test_brier_score_is_sklearns():
    expected = [brier_score_loss(CLASSES, p, scale_by_half=False) for p in P]
    np.testing.assert_allclose(brier_score(P, T), expected, rtol=1e-13)
    expected = [brier_score_loss(CLASSES, p, scale_by_half=False, sample_weight=WEIGHTS) for p in P]
    np.testing.assert_allclose(brier_score(P, T, weights=WEIGHTS), expected, rtol=1e-13)


def test_a_target_may_be_a_distribution():
    np.testing.assert_allclose(negative_log_likelihood(P, Q), -xlogy(Q, P).sum(axis=2).mean(axis=1), rtol=1e-13)
    expected = [np.linalg.norm(p - q, axis=1) @ np.linalg.norm(p - q, axis=1) / 50 for p, q in zip(P, Q, strict=True)]
    np.testing.assert_allclose(brier_score(P, Q), expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("score", SCORES)
def test_targets_of_any_number_type(score, dtype):
    np.testing.assert_array_equal(score(P, T.astype(dtype)), score(P, T))
    yes = YES[None, :, None]
    np.testing.assert_array_equal(score(binary(P), yes.astype(dtype)), score(binary(P), yes.astype(float)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zero_probabilities(dtype):
    sure, opposite = np.array([[[1, 0, 0]]], dtype), np.array([[[0, 1, 0]]], dtype)
    assert entropy(sure) == 0
    assert not np.signbit(entropy(sure))
    assert kl_divergence(sure, sure) == negative_log_likelihood(sure, sure) == brier_score(sure, sure) == 0
    assert (
        cross_entropy(sure, opposite)
        == kl_divergence(sure, opposite)
        == negative_log_likelihood(sure, opposite)
        == np.inf
    )
    assert brier_score(sure, opposite) == 2
    tiny = np.array([[[np.finfo(dtype).smallest_subnormal, 1]]], dtype)
    np.testing.assert_allclose(kl_divergence(tiny[:, :, ::-1], tiny), -np.log(tiny[0, :, 0]), rtol=1e-6)


def test_equal_distributions_have_no_divergence():
    np.testing.assert_array_equal(kl_divergence(P, P.copy()), 0)
    p = P.reshape(-1, 1, 4)
    nearly = np.nextafter(p, np.roll(p, 1, axis=2))  # each network's entries move by one bit, up or down
    assert (kl_divergence(p, nearly) >= 0).all()
    np.testing.assert_allclose(kl_divergence(p, nearly), 0, atol=1e-15)


def test_a_row_of_weight_0_does_not_count():
    p = P.copy()
    p[:, 7] = np.roll(T[0, 7], 1)  # infinite loss
    weights = np.where(np.arange(50) == 7, 0, WEIGHTS)
    keep = np.arange(50) != 7
    expected = [log_loss(CLASSES[keep], network[keep], sample_weight=WEIGHTS[keep]) for network in p]
    np.testing.assert_allclose(negative_log_likelihood(p, T, weights=weights), expected, rtol=1e-13)
    assert np.isinf(negative_log_likelihood(p, T)).all()


@pytest.mark.parametrize("score", SCORES)
def test_weights_are_shares_of_their_sum(score):
    twice = np.repeat(np.arange(50), 2)
    repeated = score(P[:, twice], T[:, twice])
    np.testing.assert_allclose(score(P, T, weights=np.full(50, 2)), repeated, rtol=1e-13)
    first_alone = score(P[:, :1], T[:, :1])
    np.testing.assert_array_equal(score(P, T, weights=np.arange(50) == 0), first_alone)
    one_row_weights = np.eye(3, 50)  # network k weighs row k only
    np.testing.assert_array_equal(
        score(P, T, weights=one_row_weights), [score(P[k : k + 1, k : k + 1], T[:, k : k + 1])[0] for k in range(3)]
    )


@pytest.mark.parametrize("function", [entropy, *PAIRS])
def test_a_network_of_nan_changes_no_other_network(function):
    p = P.copy()
    p[1, 3] = np.nan
    result = function(p) if function is entropy else function(p, Q)
    expected = function(P) if function is entropy else function(P, Q)
    np.testing.assert_array_equal(np.isnan(result), [False, True, False])
    np.testing.assert_array_equal(result[[0, 2]], expected[[0, 2]])


def stacks():
    """Shapes, a seed and the exponent that makes rows even (1) or almost one-hot (0.01, with zeros)."""
    size = st.integers(1, 40)
    return st.tuples(st.integers(1, 5), size, st.integers(1, 12), st.integers(0, 999), st.sampled_from([0.01, 0.3, 1]))


def draw_distributions(stack, dtype, shared=False):
    """Two stacks of distributions; the second may be one for all networks."""
    K, N, O, seed, concentration = stack  # noqa: E741
    random = np.random.default_rng(seed)
    p, q = (random.dirichlet(np.full(max(O, 2), concentration), size=(k, N)) for k in (K, 1 if shared else K))
    return tuple((distribution[:, :, :1] if O == 1 else distribution).astype(dtype) for distribution in (p, q))


@settings(max_examples=60, deadline=None)
@given(stack=stacks(), dtype=st.sampled_from(["float32", "float64"]), shared=st.booleans())
def test_law_1_a_network_alone_is_bit_equal_to_one_in_a_stack(stack, dtype, shared):
    p, q = draw_distributions(stack, dtype, shared)
    before = p.copy(), q.copy()
    weights = np.random.default_rng(1).uniform(size=p.shape[1])
    functions = [*PAIRS, *(lambda p, q, score=score: score(p, q, weights=weights) for score in SCORES)]
    for function in [lambda p, q: entropy(p), *functions]:
        together = function(p, q)
        assert (together.shape, together.dtype) == ((len(p),), dtype)
        alone = [function(p[k : k + 1], q if shared else q[k : k + 1])[0] for k in range(len(p))]
        np.testing.assert_array_equal(together, alone)
        turned = [np.asfortranarray(distribution) for distribution in (p, q)]  # another layout in memory
        np.testing.assert_array_equal(function(*turned), together)
    np.testing.assert_array_equal(p, before[0])
    np.testing.assert_array_equal(q, before[1])


@settings(max_examples=60, deadline=None)
@given(stack=stacks())
def test_law_of_gibbs_and_bounds(stack):
    p, q = draw_distributions(stack, "float64")
    h, classes = entropy(p), max(stack[2], 2)
    assert (h >= 0).all()
    assert (h <= np.log(classes) * (1 + 1e-12)).all()
    assert (kl_divergence(p, q) >= 0).all()
    assert (cross_entropy(p, q) >= h * (1 - 1e-12) - 1e-15).all()  # 1 - p rounds
    assert (brier_score(p, q) >= 0).all()
    assert (brier_score(p, q) <= 2 * (1 + 1e-12)).all()


def test_float32_is_close_to_float64():
    p, q = P.astype("float32"), Q.astype("float32")
    for function in PAIRS:
        np.testing.assert_allclose(function(p, q), function(P, Q), rtol=3e-6)
    np.testing.assert_allclose(entropy(p), entropy(P), rtol=3e-6)
    for score in SCORES:
        assert score(p, T, weights=WEIGHTS).dtype == score(p, T).dtype == "float32"  # T and WEIGHTS are float64


@pytest.mark.parametrize("function", PAIRS)
def test_shapes_that_do_not_match(function):
    for wrong_shape in (Q[:, :, :3], Q[:, :49], Q[:2], Q[0]):
        with pytest.raises(ValueError, match=r"[qt] must have the shape of p, \(3, 50, 4\)"):
            function(P, wrong_shape)
    with pytest.raises(ValueError, match=r"p must have the shape \(K or 1, N, O\).*but has \(50, 4\)"):
        function(P[0], Q)
    with pytest.raises(ValueError, match=r"no axis empty, but has \(3, 0, 4\)"):
        function(P[:, :0], Q[:, :0])
    with pytest.raises(ValueError, match=r"but has \(50, 4\)"):
        entropy(P[0])


@pytest.mark.parametrize("score", SCORES)
def test_illegal_weights(score):
    with pytest.raises(ValueError, match=r"weights must have the shape \(50,\) or \(3, 50\), but has \(49,\)"):
        score(P, T, weights=WEIGHTS[:49])
    for illegal in (WEIGHTS - 1, 0 * WEIGHTS, np.where(YES, np.inf, 1), np.where(YES, np.nan, 1)):
        with pytest.raises(ValueError, match="weights must be >= 0 and finite, with a sum > 0, but go from"):
            score(P, T, weights=illegal)


class GpuArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that behaves as CuPy's do: it implements NumPy's protocols, but cannot be converted implicitly."""

    def __init__(self, array):
        self.array = array

    def __array__(self, *arguments, **options):
        raise TypeError("an array on the GPU was turned into one of NumPy")

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        return wrap(getattr(ufunc, method)(*map(unwrap, inputs), **{k: unwrap(v) for k, v in options.items()}))

    def __array_function__(self, function, types, inputs, options):
        return wrap(function(*map(unwrap, inputs), **options))

    def __getattr__(self, name):
        attribute = getattr(self.array, name)
        return (lambda *a, **b: wrap(attribute(*a, **b))) if callable(attribute) and name != "dtype" else attribute

    def __getitem__(self, index):
        return wrap(self.array[unwrap(index)])

    def __setitem__(self, index, value):
        self.array[index] = unwrap(value)

    def __len__(self):
        return len(self.array)

    def __bool__(self):
        return bool(self.array)

    def __int__(self):
        return int(self.array)


def wrap(value):
    return GpuArray(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def unwrap(value):
    if isinstance(value, list | tuple):
        return type(value)(map(unwrap, value))
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("an array of NumPy was mixed with one on the GPU")
    return value.array if isinstance(value, GpuArray) else value


@pytest.mark.parametrize("outputs", [1, 4])
def test_arrays_on_a_gpu_stay_there(outputs):
    p, q, t = (P, Q, T) if outputs == 4 else (binary(P), binary(Q), YES.astype(float)[None, :, None])
    calls = [
        (entropy, p),
        (cross_entropy, p, q),
        (kl_divergence, p, q),
        (lambda p, t, w: negative_log_likelihood(p, t, weights=w), p, t, WEIGHTS),
        (lambda p, t, w: brier_score(p, t, weights=w), p, t, WEIGHTS),
        (calibration.expected_calibration_error, p, t),
        (lambda p, t: calibration.reliability(p, t).confidence, p, t),
        (calibration.fit_temperature, np.log(p), t),
    ]
    for function, *arrays in calls:
        actual = function(*map(GpuArray, arrays))
        np.testing.assert_array_equal(actual.array, function(*arrays))
