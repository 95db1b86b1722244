"""The well-known flows: what is chained, and with which nets.

x → couplings and what mixes between them → z
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

import keras

from partita.flows.bijection import Bijection, Chain, Shape
from partita.flows.coupling import AdditiveCoupling, AffineCoupling, SplineCoupling
from partita.flows.distributions import Distribution
from partita.flows.flow import Flow
from partita.flows.mixing import ActNorm, InvertibleConv1x1, Permutation, Scaling
from partita.flows.ranges import Logit
from partita.flows.reshape import FactorOut, Flatten, Squeeze
from partita.flows.splines import num_parameters

Net = Callable[[int], keras.layers.Layer]


def nice(
    features: int | Sequence[int],
    couplings: int = 4,
    hidden: Sequence[int] = (1000,) * 5,
    *,
    net: Net | None = None,
    first: Bijection | None = None,
    base: Distribution | None = None,
    dequantize: int | tuple[float, float] | None = (-0.01, 0.0),
    context: int | None = None,
) -> Flow:
    """NICE: additive couplings of even and odd features in turn, then a scale for each dimension.

    Args:
        features: Number of features, an even one; or the shape of an image, which is flattened.
        couplings: How many.
        hidden: Widths of the hidden layers of each coupling's net, with ReLU.
        net: Instead of `hidden`: number of outputs → a Keras model or layer on vectors.
        first: A bijection in front.
        base: The law of the latent; by default `Normal()`. The paper takes `Logistic()`.
        dequantize: See `Flow`. By default uniform noise in [−0.01, 0], for images with values in [0, 1]; 256
            for bits per dimension that compare with the paper's; None for a table of real numbers.
        context: Number of features of a context, for a conditional flow.

    Raises:
        ValueError: if the number of features is odd.

    Source: Dinh, Krueger, Bengio 2014.

    Example:
        >>> import numpy as np
        >>> flow = nice(4, hidden=(8,))
        >>> flow.compile("adam")
        >>> history = flow.fit(np.random.default_rng(0).uniform(size=(64, 4)), verbose=0)
        >>> flow.sample(5, temperature=0.75, seed=0).shape
        (5, 4)
    """
    shape = _shape(features)
    size = math.prod(shape)
    make = net or _dense(hidden)
    begin = [*([] if first is None else [first]), *([Flatten()] if len(shape) > 1 else [])]
    links = [AdditiveCoupling(make(size // 2), ("even", "odd")[k % 2]) for k in range(couplings)]
    return _built(Flow(Chain([*begin, *links, Scaling()]), base, dequantize), shape, context)


def real_nvp(  # noqa: PLR0913 - options, each given by its name
    features: int | Sequence[int],
    couplings: int | None = None,
    hidden: Sequence[int] | None = None,
    scales: int = 2,
    *,
    net: Net | None = None,
    first: Bijection | None = None,
    base: Distribution | None = None,
    dequantize: int | tuple[float, float] | None = None,
    context: int | None = None,
) -> Flow:
    """Return a RealNVP flow of affine couplings.

    Couplings are of halves for a table; of checkerboards and channels, at several scales, for images.

    Args:
        features: Number of features, at least 2; or the shape of an image, (height, width, channels).
        couplings: How many, by default 8 for a table; for images at each scale as many on checkerboards and
            on channels, by default 3.
        hidden: Widths of the hidden layers of each coupling's net, by default (128, 128); for images channels
            of convolutions, (64, 64).
        scales: For images, how often they are halved.
        net: Instead of `hidden`: number of outputs → a Keras model or layer on vectors, or on images.
        first: A bijection in front, `Standardize.fit(table)` say; for images by default `Logit()`.
        base: The law of the latent; by default `Normal()`.
        dequantize: See `Flow`; 256 for images.
        context: Number of features of a context, for a conditional flow.

    Raises:
        ValueError: if there are fewer than 2 features, or an image cannot be halved so often.

    Source: Dinh, Sohl-Dickstein, Bengio 2016.

    Example:
        >>> real_nvp(5, couplings=2, hidden=(8,)).sample(3, seed=0).shape
        (3, 5)
        >>> real_nvp((4, 4, 1), couplings=1, hidden=(4,)).sample(3, seed=0).shape
        (3, 4, 4, 1)
    """
    shape = _shape(features)
    if len(shape) == 1:
        make = net or _dense(hidden or (128, 128))
        links = [] if first is None else [first]
        for k in range(couplings or 8):
            split = ("first", "second")[k % 2]
            links.append(AffineCoupling(make(2 * _moved(shape[0], split)), split))
            if k % 2:
                links.append(Permutation(seed=k))
    else:
        make = net or _convolutions(hidden or (64, 64))
        links = [first or Logit(), *_scales_of_real_nvp(_image(shape)[-1], couplings or 3, scales, make)]
    return _built(Flow(Chain(links), base, dequantize), shape, context)


def _scales_of_real_nvp(channels: int, couplings: int, scales: int, make: Net) -> list[Bijection]:
    def in_turn(splits, outputs, number):
        return [AffineCoupling(make(outputs), splits[k % 2]) for k in range(number)]

    if scales == 0:
        return [*in_turn(("black", "white"), 2 * channels, couplings + 1), Flatten()]
    return [
        *in_turn(("black", "white"), 2 * channels, couplings),
        Squeeze(),
        *in_turn(("first", "second"), 4 * channels, couplings),
        FactorOut(Chain(_scales_of_real_nvp(2 * channels, couplings, scales - 1, make))),
    ]


def glow(  # noqa: PLR0913 - options, each given by its name
    shape: Sequence[int],
    steps: int = 8,
    scales: int = 2,
    width: int = 128,
    *,
    net: Net | None = None,
    first: Bijection | None = None,
    base: Distribution | None = None,
    dequantize: int | tuple[float, float] | None = 256,
    context: int | None = None,
) -> Flow:
    """Return a Glow flow for images.

    At each scale it has steps of activation normalisation, 1×1 convolution and affine coupling; half the
    channels leave between scales.

    Args:
        shape: Of an image, (height, width, channels).
        steps: At each scale.
        scales: How often the image is halved.
        width: Channels of each coupling's net: 3 × 3, 1 × 1 and 3 × 3 convolutions with ReLU.
        net: Instead of `width`: number of outputs → a Keras model or layer on images.
        first: A bijection in front; by default `Logit()`.
        base: The law of the latent; by default `Normal()`.
        dequantize: See `Flow`.
        context: Number of features of a context, for a conditional flow.

    Raises:
        ValueError: if an image cannot be halved so often.

    Source: Kingma, Dhariwal 2018.

    Example:
        >>> glow((4, 4, 1), steps=1, width=4).sample(3, seed=0).shape
        (3, 4, 4, 1)
    """
    shape = _image(_shape(shape))
    make = net or _convolutions((width, width), kernels=(3, 1))
    links: list[Bijection] = []
    for scale in reversed(range(scales)):  # from the inside out
        outputs = 4 * shape[-1] * 2**scale  # a scale and a shift for half of the channels there
        steps_here = [
            (ActNorm(), InvertibleConv1x1(), AffineCoupling(make(outputs), "first")) for _ in range(steps)
        ]
        links = [Squeeze(), *chain.from_iterable(steps_here), FactorOut(Chain(links)) if links else Flatten()]
    return _built(Flow(Chain([first or Logit(), *links]), base, dequantize), shape, context)


def neural_spline(  # noqa: PLR0913 - options, each given by its name
    features: int,
    couplings: int = 8,
    hidden: Sequence[int] = (128, 128),
    bins: int = 8,
    bound: float = 4.0,
    *,
    net: Net | None = None,
    first: Bijection | None = None,
    base: Distribution | None = None,
    dequantize: int | tuple[float, float] | None = None,
    context: int | None = None,
) -> Flow:
    """Return a neural spline flow of couplings by rational-quadratic splines.

    An invertible matrix stands between one pair of couplings and the next.

    Args:
        features: Number of features, at least 2.
        couplings: How many.
        hidden: Widths of the hidden layers of each coupling's net, with ReLU.
        bins: Pieces of each spline.
        bound: Splines act on [−bound, bound]: data should be standardised, by `first=Standardize.fit(table)`
            or beforehand.
        net: Instead of `hidden`: number of outputs → a Keras model or layer on vectors.
        first: A bijection in front.
        base: The law of the latent; by default `Normal()`.
        dequantize: See `Flow`.
        context: Number of features of a context, for a conditional flow.

    Raises:
        ValueError: if there are fewer than 2 features.

    Source: Durkan, Bekasov, Murray, Papamakarios 2019.

    Example:
        >>> neural_spline(3, couplings=2, hidden=(8,), bins=4).sample(5, seed=0).shape
        (5, 3)
    """
    make = net or _dense(hidden)
    links: list[Bijection] = [] if first is None else [first]
    for k in range(couplings):
        split = ("first", "second")[k % 2]
        outputs = num_parameters(bins) * _moved(features, split)
        if k and k % 2 == 0:  # every feature has moved
            links.append(InvertibleConv1x1())
        links.append(SplineCoupling(make(outputs), split, bins, bound))
    return _built(Flow(Chain(links), base, dequantize), (features,), context)


def _shape(features: int | Sequence[int]) -> tuple[int, ...]:
    return (features,) if isinstance(features, int) else tuple(features)


def _image(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise ValueError(f"the shape of an image is (height, width, channels), got {shape}")
    return shape


def _moved(features: int, split: str) -> int:
    """How many features move where a half stays."""
    if features < 2:
        raise ValueError(f"a coupling needs 2 features or more, got {features}")
    return features // 2 if split == "first" else -(-features // 2)


def _built(flow: Flow, shape: Shape, context: int | None) -> Flow:
    x_shape = (None, *shape)
    flow.build(x_shape if context is None else (x_shape, (None, context)))
    return flow


def _dense(hidden: Sequence[int]) -> Net:
    """Nets on vectors. The last layer begins with zeros, and a coupling as the identity."""

    def make(outputs):
        layers = [keras.layers.Dense(width, activation="relu") for width in hidden]
        return keras.Sequential([*layers, keras.layers.Dense(outputs, kernel_initializer="zeros")])

    return make


def _convolutions(hidden: Sequence[int], kernels: Sequence[int] | None = None) -> Net:
    """Nets on images, with the same beginning."""
    convolution = partial(keras.layers.Conv2D, padding="same")
    sizes = [*zip(hidden, kernels or (3,) * len(hidden), strict=True)]

    def make(outputs):
        layers = [convolution(width, size, activation="relu") for width, size in sizes]
        return keras.Sequential([*layers, convolution(outputs, 3, kernel_initializer="zeros")])

    return make
