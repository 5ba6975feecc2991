"""Activation functions y = f(z), each with its derivative just below it.

Each public function returns an `Activation`: functions of arrays of one shape (K, N, O) and dtype, and of biases b
(K, 1, O).

    forward(z, out) -> y                 f(z)
    backward(dy, z, y, out) -> dz        the chain rule, dz = dy f'(z)
    biased(z, b) -> y                    f(z + b), where that is one formula
    with_slope(z, slope, out) -> y       f(z), and f'(z) in `slope`: in training, unless there is biased

The result is written into `out`, an array of that shape that is not one of the others, or forward's over z and
backward's over dy, so that less memory is used: backward is then given y in place of z. Nothing overflows, up to
|z| = 1e4 and beyond.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.dense import add
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked


class Activation(NamedTuple):
    """An activation function and its derivative; see the module's docstring.

    Parameters
    ----------
    forward : callable
        forward(z, out) returns y = f(z).
    backward : callable
        backward(dy, z, y, out) returns dz = dy f'(z).
    biased : callable, optional
        biased(z, b) returns f(z + b).
    with_slope : callable, optional
        with_slope(z, slope, out) returns y = f(z) and writes f'(z) into `slope`, so that dz = dy slope; z is kept.
    keeps_inputs : bool, default False
        Whether forward leaves z as it is, and backward dy.
    is_parametric : bool, default False
        Whether each unit's output is z + alpha (f(z) - z), with an alpha that is learned; see `parametric`.
    """

    forward: Callable[[Array, Array], Array]
    backward: Callable[[Array, Array, Array, Array], Array]
    biased: Callable[[Array, Array], Array] | None = None
    with_slope: Callable[[Array, Array, Array], Array] | None = None
    keeps_inputs: bool = False
    is_parametric: bool = False


def identity() -> Activation:
    """Identity: y = z;  f'(z) = 1."""

    def forward(z: Array, out: Array) -> Array:
        return z

    def backward(dy: Array, z: Array, y: Array, out: Array) -> Array:
        return dy

    return Activation(forward, backward, lambda z, b: add(z, b))


def relu() -> Activation:
    """ReLU: y = max(z, 0);  f'(z) = 1 where z > 0 (there y > 0 too), otherwise 0 (also at the kink, z = 0)."""
    return Activation(
        lambda z, out: np.maximum(z, 0, out=z),
        lambda dy, z, y, out: relu_dz(dy, y),
        lambda z, b: relu_y(z, b),
        lambda z, slope, out: relu_y_and_slope(z, slope, out),
    )


@elementwise("z")
def relu_y(z: Array, b: Array) -> Array:
    """Return y = f(z + b), written over z."""
    return np.maximum(z + b, 0)


@elementwise("dy")
def relu_dz(dy: Array, y: Array) -> Array:
    """Return dz = dy f'(z), written over dy."""
    return np.where(y > 0, dy, 0)


@elementwise("slope", "y")
def relu_y_and_slope(z: Array) -> tuple[Array, Array]:
    """Return f'(z), and y = f(z)."""
    return np.where(z > 0, 1, 0), np.maximum(z, 0)


def leaky_relu(slope: ArrayLike = 0.01) -> Activation:
    """Leaky ReLU: a small slope for negative z.

    Parameters
    ----------
    slope : float or array (K,), in [0, 1], default 0.01

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    y = max(z, slope z);  f'(z) = 1 where z > 0, otherwise slope.

    References
    ----------
    Maas, Hannun & Ng (2013), "Rectifier nonlinearities improve neural network acoustic models".
    """
    slope = checked("leaky_relu", "slope", slope, at_least=0, at_most=1)

    return Activation(
        lambda z, out: leaky_relu_y(z, out, slope=slope),
        lambda dy, z, y, out: leaky_relu_dz(dy, z, out, slope=slope),
        keeps_inputs=True,
    )


@elementwise("y")
def leaky_relu_y(z: Array, *, slope: Array) -> Array:
    """Return y = f(z)."""
    return np.maximum(z, slope * z)


@elementwise("dz")
def leaky_relu_dz(dy: Array, z: Array, *, slope: Array) -> Array:
    """Return dz = dy f'(z)."""
    return np.where(z > 0, dy, slope * dy)


def elu(alpha: ArrayLike = 1.0) -> Activation:
    """ELU: exponential for negative z, where it tends to -alpha.

    Parameters
    ----------
    alpha : float or array (K,), > 0, default 1

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    y = z where z > 0, otherwise alpha (exp(z) - 1);  f'(z) = 1 where z > 0, otherwise y + alpha.
    exp(z) - 1 = 2 h / (1 - h) with h = tanh(z / 2): as exact near 0 as expm1, and 5 times faster.

    References
    ----------
    Clevert, Unterthiner & Hochreiter (2015), arXiv:1511.07289.
    """
    alpha = checked("elu", "alpha", alpha, above=0)

    def forward(z: Array, out: Array) -> Array:
        return elu_y(z, np.tanh(half_of_negative(z, out), out=out), alpha=alpha)

    def backward(dy: Array, z: Array, y: Array, out: Array) -> Array:
        return elu_dz(dy, z, y, out, alpha=alpha)

    return Activation(forward, backward, keeps_inputs=True)


@elementwise("h")
def half_of_negative(z: Array) -> Array:
    """Return z / 2 where z < 0, otherwise 0."""
    return np.minimum(z, 0) * 0.5


@elementwise("h")
def elu_y(z: Array, h: Array, *, alpha: Array) -> Array:
    """Return y = f(z), where h = tanh(min(z, 0) / 2); written over h."""
    return np.where(z > 0, z, alpha * (2 * h / (1 - h)))


@elementwise("dz")
def elu_dz(dy: Array, z: Array, y: Array, *, alpha: Array) -> Array:
    """Return dz = dy f'(z)."""
    return dy * np.where(z > 0, 1, y + alpha)


def selu() -> Activation:
    """SELU: a scaled ELU whose activations tend to mean 0 and variance 1.

    Notes
    -----
    y = s elu(z, a);  f'(z) = s elu'(z, a).

    References
    ----------
    Klambauer et al. (2017), arXiv:1706.02515, equation 2 and appendix A.1 (the numbers s and a).
    """
    scale = np.array([1.0507009873554804934193349852946])
    slope = 1.6732632423543772848170429916717 * scale  # s a

    def forward(z: Array, out: Array) -> Array:
        return selu_y(z, np.tanh(half_of_negative(z, out), out=out), scale=scale, slope=slope)

    def backward(dy: Array, z: Array, y: Array, out: Array) -> Array:
        return selu_dz(dy, z, y, out, scale=scale, slope=slope)

    def with_slope(z: Array, slope_of_z: Array, out: Array) -> Array:
        h = np.tanh(half_of_negative(z, out), out=out)
        return selu_y_and_slope(z, h, slope_of_z, scale=scale, slope=slope)

    return Activation(forward, backward, with_slope=with_slope, keeps_inputs=True)


@elementwise("h")
def selu_y(z: Array, h: Array, *, scale: Array, slope: Array) -> Array:
    """Return y = f(z), where h = tanh(min(z, 0) / 2); written over h."""
    return np.where(z > 0, scale * z, slope * (2 * h / (1 - h)))


@elementwise("dz")
def selu_dz(dy: Array, z: Array, y: Array, *, scale: Array, slope: Array) -> Array:
    """Return dz = dy f'(z)."""
    return dy * np.where(z > 0, scale, y + slope)


@elementwise("slope_of_z", "h")
def selu_y_and_slope(z: Array, h: Array, *, scale: Array, slope: Array) -> tuple[Array, Array]:
    """Return f'(z), and y = f(z), where h = tanh(min(z, 0) / 2); y is written over h."""
    y = np.where(z > 0, scale * z, slope * (2 * h / (1 - h)))
    return np.where(z > 0, scale, y + slope), y


def gelu() -> Activation:
    """GELU, in its tanh form.

    Notes
    -----
    y = z (1 + tanh u) / 2 with u = c (z + d z^3), c = sqrt(2 / pi), d = 0.044715;
    f'(z) = (1 + tanh u + z (1 - tanh^2 u) u') / 2 with u' = c (1 + 3 d z^2).
    This form of the paper approximates z Phi(z) to 5e-4; NumPy has no normal distribution function Phi.

    References
    ----------
    Hendrycks & Gimpel (2016), arXiv:1606.08415, section 2.
    """
    c, d = np.sqrt(2 / np.pi).item(), 0.044715

    def tanh_u(z: Array, out: Array) -> Array:
        np.multiply(z, z, out=out)
        out *= c * d
        out += c
        out *= z
        return np.tanh(out, out=out)

    def forward(z: Array, out: Array) -> Array:
        tanh_u(z, out)
        out += 1
        out *= z
        out *= 0.5
        return out

    def backward(dy: Array, z: Array, y: Array, out: Array) -> Array:
        th = tanh_u(z, out)
        slope = z * z
        slope *= 3 * c * d
        slope += c
        slope *= z
        slope *= 1 - th * th
        out += slope
        out += 1
        out *= dy
        out *= 0.5
        return out

    return Activation(forward, backward, keeps_inputs=True)


def silu() -> Activation:
    """SiLU (swish): y = z s with s = sigmoid(z);  f'(z) = s + y (1 - s).

    References
    ----------
    Elfwing, Uchibe & Doya (2017), arXiv:1702.03118.
    """
    s = sigmoid().forward

    def forward(z: Array, out: Array) -> Array:
        return np.multiply(z, s(z, out), out=out)

    def backward(dy: Array, z: Array, y: Array, out: Array) -> Array:
        sigma = s(z, out)
        sigma += y * (1 - sigma)
        sigma *= dy
        return sigma

    return Activation(forward, backward, keeps_inputs=True)


def softplus() -> Activation:
    """Softplus: y = log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|));  f'(z) = sigmoid(z).

    References
    ----------
    Dugas et al. (2001), "Incorporating second-order functional knowledge for better option pricing".
    """

    def forward(z: Array, out: Array) -> Array:
        np.abs(z, out=out)
        np.negative(out, out=out)
        np.log1p(np.exp(out, out=out), out=out)
        out += np.maximum(z, 0)
        return out

    def backward(dy: Array, z: Array, y: Array, out: Array) -> Array:
        return np.multiply(dy, sigmoid().forward(z, out), out=out)

    return Activation(forward, backward, keeps_inputs=True)


def sigmoid() -> Activation:
    """Logistic sigmoid: y = 1 / (1 + exp(-z));  f'(z) = y (1 - y).

    Notes
    -----
    With e = exp(-|z|), which cannot overflow, y = 1 / (1 + e) where z >= 0, otherwise e / (1 + e): exact in both tails.
    """

    def forward(z: Array, out: Array) -> Array:
        return sigmoid_y(z, np.exp(negative_abs(z, out), out=out))

    return Activation(forward, lambda dy, z, y, out: sigmoid_dz(dy, y))


@elementwise("u")
def negative_abs(z: Array) -> Array:
    """Return -|z|."""
    return -np.abs(z)


@elementwise("e")
def sigmoid_y(z: Array, e: Array) -> Array:
    """Return y = f(z), where e = exp(-|z|); written over e."""
    return np.where(z < 0, e, 1) / (1 + e)


@elementwise("dy")
def sigmoid_dz(dy: Array, y: Array) -> Array:
    """Return dz = dy f'(z), written over dy."""
    return dy * (y * (1 - y))


def mish() -> Activation:
    """Mish: y = z tanh(softplus(z));  f'(z) = t + z (1 - t^2) sigmoid(z) with t = tanh(softplus(z)).

    Notes
    -----
    With u = exp(-|z|), which cannot overflow, t is a ratio of polynomials: (1 + 2 u) / (1 + 2 u + 2 u^2) where z >= 0,
    otherwise u (u + 2) / (u (u + 2) + 2).

    References
    ----------
    Misra (2019), arXiv:1908.08681, equation 1.
    """

    def forward(z: Array, out: Array) -> Array:
        return mish_y(z, np.exp(negative_abs(z, out), out=out))

    def backward(dy: Array, z: Array, y: Array, out: Array) -> Array:
        with_slope(z, out, np.empty_like(z))
        return np.multiply(dy, out, out=out)

    def with_slope(z: Array, slope: Array, out: Array) -> Array:
        return mish_y_and_slope(z, np.exp(negative_abs(z, out), out=out), slope)

    return Activation(forward, backward, with_slope=with_slope, keeps_inputs=True)


@elementwise("u")
def mish_y(z: Array, u: Array) -> Array:
    """Return y = f(z), where u = exp(-|z|); written over u."""
    numerator = np.where(z < 0, u * (u + 2), 1 + 2 * u)
    return z * (numerator / (numerator + np.where(z < 0, 2, 2 * u * u)))


@elementwise("slope", "u")
def mish_y_and_slope(z: Array, u: Array) -> tuple[Array, Array]:
    """Return f'(z), and y = f(z), where u = exp(-|z|); y is written over u."""
    numerator = np.where(z < 0, u * (u + 2), 1 + 2 * u)
    remainder = np.where(z < 0, 2, 2 * u * u)  # t = numerator / denominator, 1 - t = remainder / denominator
    denominator = numerator + remainder
    t = numerator / denominator
    return t + z * ((remainder / denominator) * (1 + t)) * (np.where(z < 0, u, 1) / (1 + u)), z * t


def tanh() -> Activation:
    """Hyperbolic tangent: y = tanh(z);  f'(z) = 1 - y^2."""
    return Activation(lambda z, out: np.tanh(z, out=z), lambda dy, z, y, out: tanh_dz(dy, y))


@elementwise("dy")
def tanh_dz(dy: Array, y: Array) -> Array:
    """Return dz = dy f'(z), written over dy."""
    return dy * (1 - y * y)


def parametric(activation: Activation) -> Activation:
    """Parametric form of another activation: y = z + alpha (f(z) - z), with one learned alpha for each unit.

    Parameters
    ----------
    activation : Activation
        The function f.

    Notes
    -----
    alpha is 1 at first, so that y = f(z); at 0 the unit is linear. The derivatives are
    dz = dy + alpha (dy f'(z) - dy) and dalpha = sum over the rows of dy (f(z) - z).
    The layer's arrays hold alpha, so that nncore/stack/passes.py calls the functions below.

    References
    ----------
    Holzmueller, Grinsztajn & Steinwart (2024), arXiv:2407.04491; He et al. (2015), arXiv:1502.01852 (parametric ReLU).
    """
    with_slope = activation.with_slope or _slope_by_backward(activation)
    return activation._replace(is_parametric=True, biased=None, with_slope=with_slope)


def _slope_by_backward(activation: Activation) -> Callable[[Array, Array, Array], Array]:
    """The `with_slope` of an activation that has none: dz where dy is 1."""

    def with_slope(z: Array, slope: Array, out: Array) -> Array:
        given = z if activation.keeps_inputs else z.copy()
        y = activation.forward(given, out)
        dz = activation.backward(np.ones_like(z), given, y, slope)
        if dz is not slope:
            np.copyto(slope, dz)
        if y is not out:
            np.copyto(out, y)
        return out

    return with_slope


@elementwise("y")
def parametric_y(z: Array, f: Array, alpha: Array) -> Array:
    """Return y = z + alpha (f(z) - z)."""
    return z + alpha * (f - z)


@elementwise("f", "z")
def parametric_y_and_difference(z: Array, f: Array, alpha: Array) -> tuple[Array, Array]:
    """Return f(z) - z, written over f, and y = z + alpha (f(z) - z), written over z."""
    difference = f - z
    return difference, z + alpha * difference


@elementwise("difference", "slope")
def parametric_dz(dy: Array, slope: Array, difference: Array, alpha: Array) -> tuple[Array, Array]:
    """Return one row's part of dalpha, written over the difference f(z) - z, and dz, written over the slope f'(z)."""
    return dy * difference, dy + alpha * (dy * slope - dy)
