import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from partita import variational
from tests.variational.players import data, mlp, pair


def linear_data(rows=2000):
    """Two latent causes, three features, noise of 0.5: the model of probabilistic principal components."""
    rng = np.random.default_rng(0)
    loading = np.array([[1.5, 0.4, -0.5], [0.0, 1.0, 0.8]])
    return (
        rng.normal(size=(rows, 2)) @ loading + 0.5 * rng.normal(size=(rows, 3)) + [1.0, 0.0, -1.0]
    ).astype("float32")


def exact_optimum(x, latent):
    """Return the largest mean log-likelihood (Tipping, Bishop 1999).

    It is that of the principal components, with the mean of what is left as noise.
    """
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    noise = values[:-latent].mean()
    covariance = vectors @ np.diag(np.r_[np.full(len(values) - latent, noise), values[-latent:]]) @ vectors.T
    return stats.multivariate_normal(x.mean(axis=0), covariance).logpdf(x).mean()


def by_em(x, latent, steps=500):
    """The same optimum by expectation and maximisation in turn, of the same linear model."""
    away = x - x.mean(axis=0)
    loading, noise = np.random.default_rng(1).normal(size=(x.shape[1], latent)), 1.0
    for _ in range(steps):
        inverse = np.linalg.inv(loading.T @ loading + noise * np.eye(latent))
        z = away @ loading @ inverse
        second = len(x) * noise * inverse + z.T @ z
        loading = away.T @ z @ np.linalg.inv(second)
        noise = (
            np.square(away).sum() - 2 * (z * (away @ loading)).sum() + np.trace(second @ loading.T @ loading)
        ) / x.size
    covariance = loading @ loading.T + noise * np.eye(x.shape[1])
    return stats.multivariate_normal(x.mean(axis=0), covariance).logpdf(x).mean()


def test_vae_and_em_and_exact_likelihood_reach_the_same_optimum():
    x = linear_data()
    wanted = exact_optimum(x, 2)
    assert by_em(x, 2) == pytest.approx(wanted, abs=1e-6)
    # With as many causes as features but one, any covariance is within the model: a single Gaussian by EM is
    # its optimum, too.
    assert variational.GaussianMixture(1).fit(x).history[-1] == pytest.approx(wanted, abs=1e-6)
    keras.utils.set_random_seed(0)
    vae = variational.VAE(mlp(4, first=3), mlp(3, first=2), seed=0)
    decay = keras.optimizers.schedules.CosineDecay(0.03, 480)
    vae.compile(keras.optimizers.Adam(decay, beta_2=0.99))
    vae.fit(x, batch_size=250, epochs=60, verbose=0)
    bound = -np.mean(
        [vae.evaluate(x, batch_size=2000, verbose=0, return_dict=True)["bound"] for _ in range(10)]
    )
    assert wanted - 0.02 < bound < wanted + 0.01  # a bound, and a tight one: here the posterior is Gaussian
    assert vae.log_prob(x[:500], samples=200, seed=0).mean() == pytest.approx(
        stats.multivariate_normal(x.mean(axis=0), np.cov(x.T)).logpdf(x[:500]).mean(), abs=0.03
    )


def known(likelihood=None, width=1.3, **options):
    """Return a VAE whose log q(x) is known, and the law of x.

    x = z w + noise of 0.7, with a posterior that is the same for all x, of standard deviation `width`.
    """
    keras.utils.set_random_seed(0)
    vae = variational.VAE(
        mlp(4, first=3),
        mlp(3, first=2),
        likelihood or variational.NormalLikelihood(scale=0.7),
        seed=0,
        **options,
    )
    vae.encoder.set_weights([np.zeros((3, 4)), np.r_[0, 0, [2 * np.log(width)] * 2]])
    kernel, bias = (ops.convert_to_numpy(weight) for weight in vae.decoder.weights)
    return vae, stats.multivariate_normal(bias, kernel.T.astype(float) @ kernel + 0.49 * np.eye(3))


def test_importance_weights_estimate_the_likelihood():
    vae, law = known()
    x = law.rvs(50, random_state=0).astype("float32")
    exact = law.logpdf(x)
    one, many = (vae.log_prob(x, samples=k, seed=0) for k in (1, 3000))
    assert one.mean() < exact.mean() - 0.3
    assert many.mean() == pytest.approx(exact.mean(), abs=0.05)
    np.testing.assert_array_equal(many, vae.log_prob(x, samples=3000, seed=0))


def test_chunks_and_paddings_change_little(monkeypatch):
    vae, law = known()
    x = law.rvs(150, random_state=0).astype("float32")  # more rows than are taken at once
    whole = vae.log_prob(x, samples=2000, seed=0)
    monkeypatch.setattr("partita.variational.vae._NUMBERS_AT_ONCE", 128 * 3 * 500)
    assert vae.log_prob(x, samples=2000, seed=1).mean() == pytest.approx(whole.mean(), abs=0.1)
    assert whole.mean() == pytest.approx(law.logpdf(x).mean(), abs=0.1)


def test_more_samples_tighten_the_bound():
    values = {}
    for samples in (1, 20):
        vae, law = known(samples=samples)
        vae.compile("sgd")
        x = law.rvs(2000, random_state=0).astype("float32")
        values[samples] = vae.evaluate(x, verbose=0, return_dict=True, batch_size=500)["bound"]
    assert -law.logpdf(x).mean() < values[20] < values[1] - 0.2


@pytest.mark.parametrize(
    "options",
    [
        {"likelihood": "bernoulli"},
        {"likelihood": variational.BernoulliLikelihood(binarize=True), "free_bits": 0.1},
        {
            "likelihood": variational.LogisticLikelihood("output"),
            "beta": keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0),
        },
        {"likelihood": variational.NormalLikelihood("output"), "samples": 3},
    ],
)
def test_every_decoder_trains_saves_and_loads(options, tmp_path):
    x = (np.random.default_rng(0).integers(0, 256, (48, 3)) / 255).astype("float32")
    likelihood = options["likelihood"]
    width = 3 if isinstance(likelihood, str) else 3 * likelihood.numbers
    vae = variational.VAE(mlp(8, 4, first=3), mlp(8, width, first=2), seed=0, **options)
    vae.compile("adam")
    vae.fit(x, batch_size=16, verbose=0, shuffle=False)
    vae.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(again.reconstruct(x), vae.reconstruct(x))
    np.testing.assert_array_equal(again.sample(3, seed=0), vae.sample(3, seed=0))
    for model in (vae, again):
        model.fit(x, batch_size=16, verbose=0, shuffle=False)
    np.testing.assert_array_equal(again.encode(x), vae.encode(x))
    np.testing.assert_allclose(vae.predict(x, verbose=0), vae.reconstruct(x), rtol=1e-5)
    assert vae.sample(3, noise=False).shape == vae.decode(vae.encode(x))[:3].shape == (3, 3)


def test_beta_and_free_bits_and_the_schedule_of_beta():
    x = data(3)
    logs = {}
    half = keras.optimizers.schedules.PiecewiseConstantDecay([10], [0.5, 2.0])
    for name, options in {"plain": {}, "half": {"beta": half}, "free": {"free_bits": 100.0}}.items():
        vae, _ = known(**options)
        vae.compile(keras.optimizers.SGD(0.0))
        logs[name] = vae.fit(x, batch_size=64, epochs=12, verbose=0).history
    plain, half, free = logs["plain"], logs["half"], logs["free"]
    np.testing.assert_allclose(plain["loss"], plain["bound"], rtol=1e-6)
    np.testing.assert_allclose(half["loss"][0], half["reconstruction"][0] + 0.5 * half["kl"][0], rtol=1e-5)
    np.testing.assert_allclose(half["loss"][-1], half["reconstruction"][-1] + 2.0 * half["kl"][-1], rtol=1e-5)
    np.testing.assert_allclose(free["loss"], np.add(free["reconstruction"], 200.0), rtol=1e-5)


class Spread:
    """A prior with nothing but the two methods."""

    def log_prob(self, z):
        return ops.sum(-0.5 * (z / 3) ** 2 - np.log(3) - 0.5 * np.log(2 * np.pi), axis=-1)

    def sample(self, n, seed=None):
        return 3 * np.random.default_rng(seed).normal(size=(n, 2))


def test_any_prior_serves():
    vae, _ = known(prior=Spread(), width=3.0)
    kernel, bias = (ops.convert_to_numpy(weight) for weight in vae.decoder.weights)
    law = stats.multivariate_normal(bias, 9 * kernel.T.astype(float) @ kernel + 0.49 * np.eye(3))
    x = law.rvs(50, random_state=0).astype("float32")
    assert vae.log_prob(x, samples=5000, seed=0).mean() == pytest.approx(law.logpdf(x).mean(), abs=0.2)
    vae.compile("adam")
    assert np.isfinite([*vae.fit(x, verbose=0).history.values()]).all()
    assert vae.sample(5, seed=0).shape == (5, 3)


def test_a_mixture_as_prior_is_saved_along(tmp_path):
    prior = variational.GaussianMixture(2).fit(data(2))
    vae, _ = known(prior=prior, free_bits=0.1)
    vae.compile("adam")
    vae.fit(data(3), verbose=0)
    vae.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(again.prior.means, prior.means)
    np.testing.assert_array_equal(again.sample(3, seed=0), vae.sample(3, seed=0))


def test_a_condition():
    vae = variational.VAE(pair(3, 2, outputs=4), pair(2, 2, outputs=3), seed=0)
    x, condition = data(3), np.eye(2, dtype="float32")[np.arange(64) % 2]
    vae.compile("adam")
    vae.fit([x, condition], verbose=0)
    assert vae.evaluate([x, condition], verbose=0, return_dict=True)["bound"] > 0
    assert vae.encode([x, condition]).shape == (64, 2)
    assert vae.reconstruct([x, condition]).shape == vae.sample(64, condition=condition).shape == (64, 3)
    assert vae.log_prob([x, condition], samples=7).shape == (64,)
    for act in (lambda: vae.fit(x, verbose=0), lambda: vae.encode(x), lambda: vae.sample(2)):
        with pytest.raises(ValueError, match="must be a pair"):
            act()


def test_16_bits():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        vae, _ = known()
        vae.compile("adam")
        assert np.isfinite([*vae.fit(data(3), verbose=0).history.values()]).all()
    finally:
        keras.config.set_dtype_policy("float32")


def outside():
    x = np.clip(data(3), 0, 1)
    x[5, 1] = 1.5
    vae = variational.VAE(mlp(4, first=3), mlp(3, first=2), "bernoulli")
    vae.compile("adam")
    vae.fit(x, verbose=0)


def broken(**options):
    prior = type("Prior", (), {"sample": lambda self, n, seed: 0})()
    return variational.VAE(mlp(4, first=3), mlp(3, first=2), **{"prior": prior, **options})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (outside, "x must hold numbers from 0 to 1 for BernoulliLikelihood, got 1.5 in row 5, place 1"),
        (lambda: known()[0].fit(data(3), data(3)), "fit takes neither targets nor weights"),
        (lambda: known()[0].fit(data(3), sample_weight=np.ones(64)), "fit takes neither targets nor weights"),
        (broken, "prior must have the methods log_prob and sample, got Prior without log_prob"),
        (
            lambda: broken(prior=None, likelihood="gamma"),
            "likelihood must be one of bernoulli, normal, logistic",
        ),
        (
            lambda: broken(prior=None, samples=5, beta=0.5),
            "samples must be at least 1, and 1 with beta or free_bits, got 5",
        ),
        (lambda: broken(prior=None, beta=-1), "beta and free_bits must be 0 or more"),
        (
            lambda: variational.VAE(mlp(5, first=3), mlp(3, first=2)),
            r"encoder must end in \(batch, 2 latent\)",
        ),
        (lambda: variational.VAE(mlp(4, first=3), mlp(4, first=2)), r"decoder must end in \(batch, 3\)"),
        (
            lambda: variational.VAE(mlp(4, first=3), mlp(3, first=1)),
            r"decoder must take \(batch, 2\), got a net that takes \(batch, 1\)",
        ),
        (lambda: known()[0].encode(data(2)), r"x must have the shape \(batch, 3\)"),
        (lambda: known()[0].log_prob(data(3), samples=0), "samples must be at least 1"),
        (lambda: known()[0].sample(0), "n must be at least 1"),
    ],
)
def test_what_does_not_fit_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
