import warnings

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from scipy import stats

from partita.variational import ConvergenceWarning, GaussianMixture

FORMS = {"full": "full", "diagonal": "diag", "tied": "tied", "spherical": "spherical"}


def blobs(rows=600, columns=3, components=3, seed=0):
    rng = np.random.default_rng(seed)
    means, roots = 3 * rng.normal(size=(components, columns)), rng.normal(size=(components, columns, columns))
    which = rng.integers(0, components, rows)
    return means[which] + np.einsum("nij,nj->ni", roots[which], rng.normal(size=(rows, columns)))


def start(x, components, form):
    covariances = {
        "full": np.stack([np.cov(x.T)] * components),
        "diagonal": np.stack([x.var(axis=0)] * components),
        "tied": np.cov(x.T),
        "spherical": np.full(components, x.var()),
    }
    return np.full(components, 1 / components), x[:components], covariances[form]


@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_scikit_learn_from_the_same_start(form):
    mixture = pytest.importorskip("sklearn.mixture")
    x = blobs() + 1000.0  # far from 0, where sums of squares lose digits
    proportions, means, covariances = start(x, 3, form)
    precisions = np.linalg.inv(covariances) if form in ("full", "tied") else 1 / covariances
    peer = mixture.GaussianMixture(
        3,
        covariance_type=FORMS[form],
        weights_init=proportions,
        means_init=means,
        precisions_init=precisions,
        tol=0,
        max_iter=20,
        reg_covar=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        peer.fit(x)
    ours = GaussianMixture(3, form, floor=1e-12).fit(
        x, initial=(proportions, means, covariances), max_steps=20, tol=-1, batch_size=256
    )
    np.testing.assert_allclose(ours.means, peer.means_, rtol=1e-8)
    np.testing.assert_allclose(ours.covariances, peer.covariances_, rtol=1e-6)
    np.testing.assert_allclose(ours.proportions, peer.weights_, rtol=1e-6)
    np.testing.assert_allclose(ours.log_prob(x), peer.score_samples(x), rtol=1e-6)
    np.testing.assert_allclose(ours.responsibilities(x), peer.predict_proba(x), atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@given(seed=st.integers(0, 1000), share=st.sampled_from([0.0, 0.2, 0.6]))
def test_no_step_lowers_the_likelihood(form, seed, share):
    x = blobs(60, 3, 2, seed)
    gone = np.random.default_rng(seed).random(x.shape) < share
    gone[:3] = False
    mixture = GaussianMixture(2, form).fit(np.where(gone, np.nan, x), max_steps=8, tol=-1, seed=seed)
    assert len(mixture.history) == 9
    assert np.diff(mixture.history).min() > -1e-9


def test_one_component_is_mean_and_covariance():
    x = blobs()
    mixture = GaussianMixture(1).fit(x)
    np.testing.assert_allclose(mixture.means[0], x.mean(axis=0))
    np.testing.assert_allclose(mixture.covariances[0], np.cov(x.T, bias=True))
    assert mixture.converged


def test_a_component_on_one_point_keeps_the_floor():
    x = np.concatenate([np.random.default_rng(0).normal(size=(200, 2)), np.full((5, 2), 20.0)])
    start = np.array([0.5, 0.5]), np.array([[0.0, 0.0], [20.0, 20.0]]), np.stack([np.eye(2)] * 2)
    mixture = GaussianMixture(2, floor=1e-3).fit(x, initial=start)
    np.testing.assert_allclose(np.linalg.eigvalsh(mixture.covariances[1]), 1e-3)
    assert np.diff(mixture.history).min() > -1e-9
    assert np.isfinite(mixture.log_prob(x)).all()


def test_all_points_alike():
    for form in FORMS:
        mixture = GaussianMixture(2, form, floor=1e-4).fit(np.full((10, 2), 3.0))
        assert np.isfinite(mixture.log_prob([[3.0, 3.0]])).all()
        np.testing.assert_allclose(mixture.sample(50, seed=0), 3.0, atol=0.1)


def test_a_component_that_owns_nothing_stays():
    start = np.array([0.5, 0.5]), np.array([[0.0], [1e6]]), np.ones((2, 1, 1))
    mixture = GaussianMixture(2).fit(np.random.default_rng(0).normal(size=(50, 1)), initial=start)
    assert mixture.means[1] == pytest.approx(1e6)
    assert mixture.proportions[1] == 0
    assert mixture.log_prob(np.zeros((1, 1))) > -2


def test_the_density_of_what_was_seen():
    mixture = GaussianMixture(2)
    mixture.proportions, mixture.means = np.array([0.3, 0.7]), np.array([[0.0, 1.0], [2.0, -1.0]])
    mixture.covariances = np.array([[[1.0, 0.5], [0.5, 2.0]], [[0.5, -0.2], [-0.2, 1.0]]])
    found = mixture.log_prob(np.array([[0.4, np.nan], [np.nan, 0.2], [np.nan, np.nan], [0.4, 0.2]]))
    first = 0.3 * stats.norm(0, 1).pdf(0.4) + 0.7 * stats.norm(2, 0.5**0.5).pdf(0.4)
    second = 0.3 * stats.norm(1, 2**0.5).pdf(0.2) + 0.7 * stats.norm(-1, 1).pdf(0.2)
    laws = [
        stats.multivariate_normal(mean, cov)
        for mean, cov in zip(mixture.means, mixture.covariances, strict=True)
    ]
    both = sum(p * law.pdf([0.4, 0.2]) for p, law in zip(mixture.proportions, laws, strict=True))
    np.testing.assert_allclose(found, np.log([first, second, 1.0, both]), rtol=1e-10, atol=1e-12)


def test_missing_values_at_random_do_not_bias():
    """Means and covariances lie within six standard errors, about 10⁻⁸ each.

    Of 20,000 rows, 30% are missing where the other column is large.
    """
    rng = np.random.default_rng(3)
    x = rng.multivariate_normal([1.0, -2.0], [[1.0, 0.8], [0.8, 1.5]], 20_000)
    x[(x[:, 0] > 1.5), 1] = np.nan  # filling in means would bias this
    mixture = GaussianMixture(1).fit(x, max_steps=500, tol=1e-10)
    np.testing.assert_allclose(mixture.means[0], [1.0, -2.0], atol=0.08)
    np.testing.assert_allclose(mixture.covariances[0], [[1.0, 0.8], [0.8, 1.5]], atol=0.12)


def test_batches_change_nothing():
    x = blobs()
    x[::7, 1] = np.nan
    one, many = (GaussianMixture(3).fit(x, max_steps=5, tol=-1, batch_size=size) for size in (4096, 50))
    np.testing.assert_allclose(one.means, many.means, rtol=1e-9)


def test_the_best_of_several_starts_is_kept():
    x = blobs(300, 2, 5)
    alone = [GaussianMixture(5).fit(x, seed=seed).history[-1] for seed in range(4)]
    assert GaussianMixture(5).fit(x, starts=4).history[-1] == pytest.approx(max(alone))


@pytest.mark.parametrize(
    ("options", "converged"),
    [
        ({}, True),
        ({"max_steps": 2, "tol": 1e-9}, False),
        ({"max_steps": 1}, False),
        ({"starts": 2, "max_steps": 2, "tol": 1e-9}, False),
    ],
)
def test_it_says_whether_it_has_converged(options, converged):
    """Overlapping clusters, which two steps do not part."""
    x = np.random.default_rng(4).normal(size=(200, 2)) * 3
    if converged:
        mixture = GaussianMixture(3).fit(x, **options)
    else:
        with pytest.warns(ConvergenceWarning, match=f"EM has not converged in {options['max_steps']} steps"):
            mixture = GaussianMixture(3).fit(x, **options)
    assert mixture.converged is converged


def test_steps_that_are_asked_for_are_no_failure():
    assert not GaussianMixture(3).fit(blobs(), max_steps=2, tol=-1).converged


def test_draws_follow_the_mixture():
    """Draws of one column follow the mixture's distribution: Kolmogorov–Smirnov at 10⁻⁴.

    There are 5,000 draws, with a fixed seed.
    """
    mixture = GaussianMixture(2, "diagonal").fit(blobs(500, 2, 2))
    x = mixture.sample(5000, seed=5)[:, 0]

    def distribution(value):
        laws = [
            stats.norm(m, v**0.5) for m, v in zip(mixture.means[:, 0], mixture.covariances[:, 0], strict=True)
        ]
        return sum(p * law.cdf(value) for p, law in zip(mixture.proportions, laws, strict=True))

    assert stats.kstest(x, distribution).pvalue > 1e-4
    only = mixture.sample(2000, seed=0, components=np.ones(2000, int))
    np.testing.assert_allclose(
        only.mean(axis=0), mixture.means[1], atol=6 * np.sqrt(mixture.covariances[1].max() / 2000)
    )


@pytest.mark.parametrize("form", FORMS)
def test_saved_and_loaded_it_is_the_same(form, tmp_path):
    x = blobs()
    mixture = GaussianMixture(3, form).fit(x, max_steps=3, tol=-1)
    mixture.save(tmp_path / "mixture.keras")
    again = keras.saving.load_model(tmp_path / "mixture.keras")
    np.testing.assert_array_equal(again.log_prob(x), mixture.log_prob(x))
    np.testing.assert_array_equal(again.sample(4, seed=1), mixture.sample(4, seed=1))


def test_tensors_get_tensors():
    mixture = GaussianMixture(3).fit(blobs())
    x = blobs(20).astype("float32")
    found = mixture.log_prob(ops.convert_to_tensor(x))
    assert ops.is_tensor(found)
    np.testing.assert_allclose(ops.convert_to_numpy(found), mixture.log_prob(x), rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GaussianMixture(0), "num_components must be at least 1, got 0"),
        (
            lambda: GaussianMixture(2, "round"),
            "covariance must be one of full, diagonal, tied, spherical, got 'round'",
        ),
        (lambda: GaussianMixture(2, floor=0), "floor must be above 0"),
        (
            lambda: GaussianMixture(5).fit(np.zeros((3, 2))),
            "x must have at least 5 rows, one for each component, got 3",
        ),
        (
            lambda: GaussianMixture(1).fit(np.array([[np.inf], [0.0]])),
            r"x must be finite: expected numbers, got inf at index \(0, 0\)",
        ),
        (
            lambda: GaussianMixture(1).fit(np.array([[np.nan, 1.0], [np.nan, 2.0]])),
            "something seen in each column",
        ),
        (lambda: GaussianMixture(1).fit(np.zeros(3)), "got the shape"),
        (
            lambda: GaussianMixture(1).fit(np.zeros((3, 1)), starts=0),
            "starts and batch_size must be at least 1",
        ),
        (
            lambda: GaussianMixture(1).fit(np.zeros((3, 1)), initial=([1.0], [[0.0, 1.0]], [[[1.0]]])),
            "initial must be finite proportions",
        ),
        (
            lambda: GaussianMixture(1).fit(np.zeros((3, 1)), initial=([0.5], [[0.0]], [[[1.0]]])),
            "add up to 1",
        ),
        (
            lambda: GaussianMixture(1).fit(np.zeros((3, 1)), initial=([1.0], [[0.0]], [[[-1.0]]])),
            "positive definite",
        ),
        (lambda: GaussianMixture(1).log_prob(np.zeros((1, 1))), "knows no components yet: fit it"),
        (
            lambda: GaussianMixture(1).fit(np.zeros((3, 1))).log_prob(np.zeros((1, 2))),
            r"x must be \(rows, 1\), got the shape",
        ),
        (
            lambda: GaussianMixture(1).fit(np.zeros((3, 1))).sample(2, components=[0, 1]),
            "components must be 2 numbers from 0 to 0",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
