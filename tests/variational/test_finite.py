"""NaN and infinity: data that hold them are refused at every door, and losses do not swallow them."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from partita import variational
from partita.backend import compiled
from partita.variational.adversary import ADVERSARIES
from tests.variational.players import aae, ali, data, gan, mlp, pair


def vae(**options):
    return variational.VAE(mlp(8, 4, first=4), mlp(8, 4, first=2), seed=0, **options)


MODELS = {"VAE": (vae, 4), "GAN": (gan, 2), "AAE": (aae, 4), "ALI": (ali, 4)}
BATCH = 16


def rows(columns, bad=None, row=40):
    x = data(columns)
    if bad is not None:
        x[row, 1] = bad
    return x


class Indexed(keras.utils.PyDataset):
    def __init__(self, x, **options):
        super().__init__(**options)
        self.x = x

    def __len__(self):
        return len(self.x) // BATCH

    def __getitem__(self, index):
        return (self.x[BATCH * index : BATCH * (index + 1)],)


def endless(x):
    for index in itertools.count():
        yield Indexed(x)[index % 4]


def frame(x):
    return pytest.importorskip("pandas").DataFrame(x)


def tf_data(x):
    return pytest.importorskip("tensorflow").data.Dataset.from_tensor_slices((x,)).batch(BATCH)


def loader(x):
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(x)), batch_size=BATCH)


DOORS = {
    "array": lambda x: x,
    "tensor": ops.convert_to_tensor,
    "table": frame,
    "PyDataset": Indexed,
    "threads": lambda x: Indexed(x, workers=2),
    "generator": endless,
    "tf.data": tf_data,
    "DataLoader": loader,
}
AT_ONCE = ("array", "tensor", "table")


def ready(name, **options):
    model = MODELS[name][0](**options)
    model.compile(run_eagerly=True)
    return model, MODELS[name][1]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_refused_before_the_first_step(name, door, bad):
    model, columns = ready(name)
    before = model.get_weights()
    options = {"steps_per_epoch": 4} if door == "generator" else {}
    message = (
        r"^x must (be|hold) finite" if door in AT_ONCE else r"^batch 0 of the data: x must (be|hold) finite"
    )
    with pytest.raises(ValueError, match=message):
        model.fit(
            DOORS[door](rows(columns, bad, row=8)),
            batch_size=BATCH if door in AT_ONCE else None,
            shuffle=False,
            verbose=0,
            **options,
        )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("door", [door for door in DOORS if door not in AT_ONCE])
def test_a_batch_that_is_not_finite_is_refused_by_its_number(door):
    model, columns = ready("VAE")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"^batch 2 of the data: x must (be|hold) finite"):
        model.fit(
            DOORS[door](rows(columns, np.nan)),
            shuffle=False,
            verbose=0,
            steps_per_epoch=4 if door == "generator" else None,
        )
    after = model.get_weights()
    assert all(np.isfinite(weight).all() for weight in after)
    assert not np.array_equal(before[0], after[0])  # the batches before it count
    model.fit(rows(columns), batch_size=64, verbose=0)  # and it can go on


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["VAE"])
def test_good_data_go_through_as_before(name, door):
    """As many batches, epochs and workers as without a look at them."""
    model, columns = ready(name)
    options = {"steps_per_epoch": 4} if door == "generator" else {}
    seen = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    model.fit(
        DOORS[door](rows(columns)),
        batch_size=BATCH if door in AT_ONCE else None,
        shuffle=False,
        epochs=2,
        verbose=0,
        callbacks=[count],
        **options,
    )
    assert seen == [0, 1, 2, 3] * 2
    if door != "generator":
        assert all(
            np.isfinite([*model.evaluate(DOORS[door](rows(columns)), verbose=0, return_dict=True).values()])
        )


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["VAE"])
def test_validation_data_and_evaluate_refuse_them_too(name, door):
    model, columns = ready(name)
    options = {"validation_steps": 4} if door == "generator" else {}
    bad = DOORS[door](rows(columns, -np.inf))
    with pytest.raises(ValueError, match=r"(validation_data: |batch 2 of the data: )x must (be|hold) finite"):
        model.fit(rows(columns), validation_data=(bad,) if door in AT_ONCE else bad, verbose=0, **options)
    bad = DOORS[door](rows(columns, -np.inf))
    with pytest.raises(ValueError, match=r"x must (be|hold) finite"):
        model.evaluate(
            bad,
            batch_size=BATCH if door in AT_ONCE else None,
            verbose=0,
            steps=4 if door == "generator" else None,
        )
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert np.isfinite(model.evaluate(rows(columns), verbose=0, return_dict=True)["loss"])


@pytest.mark.parametrize("name", MODELS)
def test_single_steps_refuse_them(name):
    model, columns = ready(name)
    for step in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="x must"):
            step(rows(columns, np.nan))
        step(rows(columns))


@pytest.mark.parametrize(
    "make",
    [
        lambda: variational.VAE(pair(4, 2, outputs=4), pair(2, 2, outputs=4)),
        lambda: variational.GAN(pair(2, 2, outputs=4), pair(4, 2)),
    ],
    ids=["VAE", "GAN"],
)
def test_conditions_are_looked_at(make):
    model = make()
    model.compile(run_eagerly=True)
    condition = rows(2, np.nan)
    with pytest.raises(ValueError, match=r"^condition must be finite: expected numbers, got nan"):
        model.fit([data(4), condition], verbose=0)
    with pytest.raises(ValueError, match=r"^validation_data: condition must be finite"):
        model.fit([data(4), data(2)], validation_data=([data(4), condition],), verbose=0)
    with pytest.raises(
        ValueError, match=r"validation_data takes neither targets .* validation_data=\(\[x, condition\],\)"
    ):
        model.fit([data(4), data(2)], validation_data=(data(4), condition), verbose=0)
    with pytest.raises(ValueError, match="batch 1 of the data: condition must be finite"):
        model.fit(
            (([data(4), part],) for part in (data(2), condition)), steps_per_epoch=2, shuffle=False, verbose=0
        )


class NoPrior:
    """Draws one NaN; its density is one, too."""

    def sample(self, n, seed=None):
        z = np.zeros((n, 2), "float32")
        z[n // 2] = np.nan
        return z

    def log_prob(self, z):
        return ops.sum(z, axis=-1) * np.float32(np.nan)


@pytest.mark.parametrize("make", [aae, ali])
def test_a_prior_that_draws_nan_is_refused(make):
    model = make(prior=NoPrior())
    model.compile(run_eagerly=True)
    with pytest.raises(
        ValueError, match="latents from the prior must be finite: expected numbers, got nan at index"
    ):
        model.fit(data(4), verbose=0)
    with pytest.raises(ValueError, match="latents from the prior must be finite"):
        model.sample(5)


def test_a_prior_whose_density_is_nan_stops_a_vae():
    model = vae(prior=NoPrior())
    model.compile("adam", run_eagerly=True)
    with pytest.raises(FloatingPointError, match="loss is nan at epoch 1"):
        model.fit(data(4), verbose=0)
    with pytest.raises(ValueError, match="latents from the prior must be finite"):
        model.sample(5)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("door", ["tf.data", "PyDataset", "generator", "DataLoader"])
def test_numbers_outside_of_a_likelihood_are_found_in_every_batch(door):
    x = np.clip(rows(4), 0, 1)
    x[40, 1] = 1.5
    model = vae(likelihood="bernoulli")
    model.compile("adam", run_eagerly=True)
    with pytest.raises(ValueError, match="batch 2 of the data: x must hold numbers from 0 to 1"):
        model.fit(
            DOORS[door](x), shuffle=False, verbose=0, steps_per_epoch=4 if door == "generator" else None
        )


NAN = np.array([[0.5, np.nan, 0.25]], "float32")
GOOD = np.array([[0.5, 0.75, 0.25]], "float32")
LIKELIHOODS = {
    "normal": variational.NormalLikelihood,
    "normal with scales": lambda: variational.NormalLikelihood("output"),
    "Bernoulli": variational.BernoulliLikelihood,
    "binarised": lambda: variational.BernoulliLikelihood(binarize=True),
    "logistic": variational.LogisticLikelihood,
    "logistic with scales": lambda: variational.LogisticLikelihood("output"),
}


def nan_in(function, *arrays):
    """Whether NaN comes out, eagerly and compiled."""
    tensors = [ops.convert_to_tensor(array) for array in arrays]
    return {
        bool(np.isnan(ops.convert_to_numpy(call(*tensors))).any()) for call in (function, compiled(function))
    }


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_nan_goes_through_a_likelihood(name):
    likelihood = LIKELIHOODS[name]()
    good, bad = ([array] if likelihood.numbers == 1 else [array, GOOD] for array in (GOOD, NAN))
    good, bad, scale = (
        np.concatenate(parts, axis=-1) for parts in (good, bad, [GOOD, NAN][: likelihood.numbers])
    )

    def log_prob(x, output):
        return likelihood.log_prob(likelihood.prepare(x, 1), output)

    assert nan_in(log_prob, GOOD, good) == {False}
    assert nan_in(log_prob, NAN, good) == {True}
    assert nan_in(log_prob, GOOD, bad) == {True}
    assert nan_in(likelihood.mean, bad) == {True}
    assert nan_in(lambda output: likelihood.draw(output, 1), bad) == {True}
    if likelihood.numbers == 2:
        assert nan_in(log_prob, GOOD, scale) == {True}
        assert nan_in(lambda output: likelihood.draw(output, 1), scale) == {True}


@pytest.mark.parametrize("loss", ADVERSARIES)
def test_nan_goes_through_the_losses_of_both_players(loss):
    rule = ADVERSARIES[loss]
    scores, bad = np.array([[1.0], [2.0]], "float32"), np.array([[1.0], [np.nan]], "float32")
    assert nan_in(rule.discriminator, scores, scores) == nan_in(rule.generator, scores, scores) == {False}
    assert nan_in(rule.discriminator, bad, scores) == nan_in(rule.discriminator, scores, bad) == {True}
    assert nan_in(rule.generator, scores, bad) == {True}


@pytest.mark.parametrize("options", [{}, {"free_bits": 5.0}, {"beta": 0.5}, {"samples": 3}], ids=str)
def test_nan_in_a_net_is_nan_in_the_bound(options):
    """In a mean, a log-variance that is cut at 20, or the decoder."""
    for net, place in (("encoder", 0), ("encoder", 3), ("decoder", 0)):
        model = vae(**options)
        bias = getattr(model, net).layers[-1].bias
        bias.assign(np.where(np.arange(bias.shape[0]) == place, np.nan, 0.0))
        model.compile("adam", run_eagerly=True)
        assert np.isnan(model.evaluate(data(4), verbose=0, return_dict=True)["bound"])
        with pytest.raises(FloatingPointError, match="loss is nan at epoch 1, batch 1"):
            model.fit(data(4), verbose=0)
        assert np.isnan(model.log_prob(data(4)[:2], samples=3, seed=0)).all()


def test_measures_refuse_samples_that_are_not_finite():
    toy = variational.ring()
    samples = toy.sample(100, seed=0)
    samples[7, 1] = np.nan
    with pytest.raises(
        ValueError, match=r"samples must be finite: expected numbers, got nan at index \(7, 1\)"
    ):
        toy.coverage(samples)
    with pytest.raises(ValueError, match="y must be finite"):
        variational.mmd(toy.sample(10, seed=0), samples)
    with pytest.raises(ValueError, match="sd and within must be above 0"):
        variational.mode_coverage(toy.sample(10, seed=0), toy.centers, float("nan"))


@pytest.mark.parametrize("door", ["array", "list", "table", "masked"])
def test_a_mixture_takes_nan_as_missing_and_refuses_infinity(door):
    x = np.random.default_rng(0).normal(size=(50, 2))
    x[::7, 1] = np.nan
    make = {
        "array": lambda x: x,
        "list": lambda x: x.tolist(),
        "table": frame,
        "masked": np.ma.masked_invalid,
    }[door]
    means = variational.GaussianMixture(1).fit(make(x)).means
    np.testing.assert_allclose(means[0, 0], x[:, 0].mean(), rtol=1e-6)
    np.testing.assert_allclose(means, variational.GaussianMixture(1).fit(x).means)
    if door != "masked":
        x[3, 0] = np.inf
        with pytest.raises(
            ValueError, match=r"x must be finite: expected numbers, got inf at index \(3, 0\)"
        ):
            variational.GaussianMixture(1).fit(make(x))
