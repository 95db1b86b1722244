import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from partita.variational import BernoulliLikelihood, LogisticLikelihood, NormalLikelihood
from partita.variational.likelihood import check_range

X = np.array([[0.0, 0.2, 1.0], [0.6, 0.4, 0.8]], "float32")
OUTPUT = np.array([[0.1, -0.4, 0.9], [0.3, 0.5, 1.2]], "float32")


def test_bernoulli():
    p = 1 / (1 + np.exp(-OUTPUT))
    wanted = (X * np.log(p) + (1 - X) * np.log(1 - p)).sum(axis=1)
    np.testing.assert_allclose(
        ops.convert_to_numpy(BernoulliLikelihood().log_prob(X, OUTPUT)), wanted, rtol=1e-5
    )
    np.testing.assert_allclose(ops.convert_to_numpy(BernoulliLikelihood().mean(OUTPUT)), p, rtol=1e-6)
    assert set(np.unique(ops.convert_to_numpy(BernoulliLikelihood().draw(OUTPUT, 0)))) <= {0.0, 1.0}


def test_binarizing_draws_ones_with_the_probability_of_the_data():
    """4,000 draws of probability 0.3: within five standard errors, a false alarm in about 10⁻⁶."""
    drawn = ops.convert_to_numpy(
        BernoulliLikelihood(binarize=True).prepare(np.full((4000, 1), 0.3, "float32"), 1)
    )
    assert abs(drawn.mean() - 0.3) < 5 * np.sqrt(0.21 / 4000)
    np.testing.assert_array_equal(ops.convert_to_numpy(BernoulliLikelihood().prepare(X, 1)), X)


def test_normal_with_each_kind_of_scale():
    wanted = stats.norm(OUTPUT, 0.5).logpdf(X).sum(axis=1)
    np.testing.assert_allclose(
        ops.convert_to_numpy(NormalLikelihood(scale=0.5).log_prob(X, OUTPUT)), wanted, rtol=1e-5
    )
    shared = NormalLikelihood()
    shared.log_scale.assign(np.log(0.5))
    np.testing.assert_allclose(ops.convert_to_numpy(shared.log_prob(X, OUTPUT)), wanted, rtol=1e-5)
    both = np.concatenate([OUTPUT, np.full_like(OUTPUT, np.log(0.5))], axis=1)
    np.testing.assert_allclose(
        ops.convert_to_numpy(NormalLikelihood(scale="output").log_prob(X, both)), wanted, rtol=1e-5
    )
    np.testing.assert_allclose(ops.convert_to_numpy(NormalLikelihood(scale="output").mean(both)), OUTPUT)


def test_the_floor_holds_a_scale_that_falls():
    likelihood = NormalLikelihood(floor=0.1)
    likelihood.log_scale.assign(-50.0)
    np.testing.assert_allclose(
        ops.convert_to_numpy(likelihood.log_prob(X, OUTPUT)),
        stats.norm(OUTPUT, 0.1).logpdf(X).sum(axis=1),
        rtol=1e-5,
    )


@pytest.mark.parametrize("scale", [1e-3, 0.05, 10.0])
def test_the_levels_of_a_logistic_add_up_to_one(scale):
    levels = np.linspace(0, 1, 256, dtype="float32")[:, None]
    log_prob = ops.convert_to_numpy(
        LogisticLikelihood(scale=scale).log_prob(levels, np.full_like(levels, 0.37))
    )
    assert np.exp(log_prob.astype(float)).sum() == pytest.approx(1, abs=2e-4)
    assert np.isfinite(log_prob).all()


def test_a_cell_of_a_logistic_is_a_difference_of_its_distribution():
    law = stats.logistic(0.4, 0.1)
    x, half = np.array([[0.0], [51 / 255], [1.0]]), 0.5 / 255
    wanted = [
        law.logcdf(half),
        np.log(law.cdf(x[1, 0] + half) - law.cdf(x[1, 0] - half)),
        law.logsf(1 - half),
    ]
    found = LogisticLikelihood(scale=0.1).log_prob(x.astype("float32"), np.full((3, 1), 0.4, "float32"))
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=2e-4)


@pytest.mark.parametrize(
    "likelihood",
    [
        BernoulliLikelihood(True),
        NormalLikelihood(0.3),
        NormalLikelihood("output", 0.2),
        LogisticLikelihood("shared", levels=16),
    ],
)
def test_config_makes_the_same(likelihood):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(likelihood))
    assert {name: getattr(again, name) for name in likelihood.arguments} == {
        name: getattr(likelihood, name) for name in likelihood.arguments
    }
    output = np.concatenate([OUTPUT] * likelihood.numbers, axis=1)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(again.log_prob(X, output)), ops.convert_to_numpy(likelihood.log_prob(X, output))
    )
    assert ops.convert_to_numpy(again.draw(output, 0)).shape == X.shape


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NormalLikelihood(scale=0), "scale must be a number above 0, 'shared' or 'output', got 0"),
        (lambda: NormalLikelihood(scale="wide"), "got 'wide'"),
        (lambda: NormalLikelihood(floor=-1), "floor must be above 0"),
        (lambda: LogisticLikelihood(levels=1), "levels must be at least 2, got 1"),
        (
            lambda: check_range(np.array([[0.5, 0.2], [0.1, 1.5]]), BernoulliLikelihood()),
            r"from 0 to 1 for BernoulliLikelihood, got 1.5 in row 1, place 1",
        ),
        (
            lambda: check_range(np.array([[np.nan]]), NormalLikelihood()),
            "finite numbers for NormalLikelihood, got nan in row 0",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
