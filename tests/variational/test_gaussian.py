import numpy as np
import pytest
from keras import ops
from scipy import integrate, stats

from partita import variational


def test_kl_is_the_integral():
    mean, variance = 0.7, 0.3
    left, right = stats.norm(mean, variance**0.5), stats.norm(-0.2, 1.4**0.5)
    wanted = integrate.quad(lambda x: left.pdf(x) * (left.logpdf(x) - right.logpdf(x)), -8, 8)[0]
    found = variational.kl_between(
        *(np.array([value], "float32") for value in (mean, np.log(variance), -0.2, np.log(1.4)))
    )
    np.testing.assert_allclose(ops.convert_to_numpy(found), [wanted], rtol=1e-5)
    standard = variational.kl_between(
        *(np.array([value], "float32") for value in (mean, np.log(variance), 0.0, 0.0))
    )
    closed = variational.kl_to_standard(np.array([mean], "float32"), np.log(np.array([variance], "float32")))
    np.testing.assert_allclose(ops.convert_to_numpy(closed), ops.convert_to_numpy(standard), rtol=1e-5)


def test_log_prob_is_scipys():
    x = np.linspace(-3, 3, 7).astype("float32")
    found = variational.normal_log_prob(x, np.float32(0.5), np.float32(np.log(0.25)))
    np.testing.assert_allclose(ops.convert_to_numpy(found), stats.norm(0.5, 0.5).logpdf(x), rtol=1e-5)


def test_draws_have_the_moments():
    """10,000 draws: each bound is five standard errors wide, a false alarm in about 10⁻⁶."""
    z = ops.convert_to_numpy(
        variational.reparameterize(
            np.full(10_000, 2.0, "float32"), np.full(10_000, np.log(9.0), "float32"), seed=1
        )
    )
    assert abs(z.mean() - 2) < 5 * 3 / 100
    assert abs(z.std() - 3) < 5 * 3 / np.sqrt(20_000)


def test_heads_come_as_one_tensor_or_two():
    one = variational.split_gaussian(np.array([[1.0, 2.0, 30.0, -1.0]], "float32"))
    two = variational.split_gaussian([np.array([[1.0, 2.0]], "float16"), np.array([[30.0, -1.0]], "float16")])
    for left, right in zip(one, two, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(left), ops.convert_to_numpy(right))
    assert ops.convert_to_numpy(one[1]).tolist() == [[20.0, -1.0]]


def test_standard_normal_is_a_prior():
    prior = variational.StandardNormal(3)
    z = prior.sample(5, seed=2)
    np.testing.assert_array_equal(z, prior.sample(5, seed=2))
    np.testing.assert_allclose(
        ops.convert_to_numpy(prior.log_prob(ops.convert_to_tensor(z))),
        stats.norm.logpdf(z).sum(axis=1),
        rtol=1e-5,
    )
    assert variational.StandardNormal.from_config(prior.get_config()).size == 3


def test_log_variances_cannot_overflow():
    _, log_variance = variational.split_gaussian(np.array([[0.0, 1e30]], "float32"))
    assert np.isfinite(np.exp(ops.convert_to_numpy(log_variance))).all()
    assert float(ops.max(variational.kl_to_standard(ops.zeros((1, 1)), log_variance))) == pytest.approx(
        0.5 * (np.exp(20) - 21), rel=1e-4
    )
