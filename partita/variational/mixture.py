"""A mixture of Gaussians by expectation and maximisation in turn.

q(x) = Σ_k π_k N(x; μ_k, Σ_k)
"""

import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from scipy.cluster.vq import kmeans2

from partita.backend import double_precision
from partita.convergence import ConvergenceWarning
from partita.data.numbers import as_numbers, check_finite
from partita.files.saving import SavedWhole
from partita.types import Tensor
from partita.variational.expectation import Gaussians, Moments, Rows, log_densities, seen_log_densities
from partita.variational.nets import check_count

_FORMS = ("full", "diagonal", "tied", "spherical")
_ROWS_FOR_A_START = 20_000
_ROWS_AT_ONCE = 4096
_PARAMETERS = ("proportions", "means", "covariances")


@keras.saving.register_keras_serializable(package="partita")
class GaussianMixture(SavedWhole):
    """Gaussian mixture fitted by expectation–maximization (EM).

    It needs no `compile`: `fit(x)` takes E-steps on the device, in batches and in float64.

    One principle, this row:
        p(x, z): p̃(x) p(z|x), p(z|x) any
        q(x, z): π_z N(x; μ_z, Σ_z)
        minimised: KL(p ‖ q), in turns: p(z|x), then q
        computed: both, exactly
        dropped: the entropy of the data

    No step lowers the likelihood. NaN marks what was not seen, and enters by the exact E-step: nothing is
    imputed beforehand.

    Fitted, it has `log_prob` and `sample`, and so can be a prior of `VAE`, `GAN`, `AAE` or `ALI`.

    Args:
        num_components: At least 1.
        covariance: "full", "diagonal", "tied" (one full matrix for all) or "spherical".
        floor: No eigenvalue of a covariance falls below this, in squared units of x: a component that would
            collapse on one point keeps this width. It is the constrained maximum of the M-step, not an
            addition to it.

    Attributes:
        proportions: `(k,)`.
        means: `(k, d)`.
        covariances: `(k, d, d)`, `(k, d)`, `(d, d)` or `(k,)`, by form. All three are float64 arrays, None
            before `fit`.
        history: Mean log-likelihood of a row, before each step and after the last.
        converged: Whether the last step raised it by less than `tol`.

    Raises:
        ValueError: if an argument does not fit.

    Source: Dempster, Laird, Rubin 1977; Ghahramani, Jordan 1994 (missing values).

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> x = np.concatenate([rng.normal(-3, 1, (200, 1)), rng.normal(3, 1, (200, 1))])
        >>> mixture = GaussianMixture(2).fit(x)
        >>> sorted(float(mean) for mean in mixture.means[:, 0].round(0))
        [-3.0, 3.0]
        >>> mixture.sample(5, seed=0).shape, mixture.log_prob(x).shape
        ((5, 1), (400,))
    """

    def __init__(self, num_components: int, covariance: str = "full", floor: float = 1e-6, **kwargs: Any):
        super().__init__(**kwargs)
        check_count("num_components", num_components)
        if covariance not in _FORMS:
            raise ValueError(f"covariance must be one of {', '.join(_FORMS)}, got {covariance!r}")
        if not floor > 0:
            raise ValueError(f"floor must be above 0, got {floor}")
        self.num_components, self.covariance, self.floor = num_components, covariance, floor
        self.proportions: np.ndarray | None = None
        self.means: np.ndarray | None = None
        self.covariances: np.ndarray | None = None
        self.history: Any = []
        self.converged = False
        self.built = True

    def fit(
        self,
        x: npt.ArrayLike,
        max_steps: int = 200,
        tol: float = 1e-4,
        initial: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike] | None = None,
        starts: int = 1,
        batch_size: int = 4096,
        seed: int = 0,
    ) -> "GaussianMixture":
        """Fit to data and return the mixture itself.

        Args:
            x: `(n, d)`; NaN, or masked in a masked array, where a value is missing. At least as many rows as
                components.
            max_steps: EM steps of a start at most. If the best start has not converged by then, a
                `ConvergenceWarning` says so.
            tol: A start has converged, and ends, when a step raises the mean log-likelihood of a row by less.
                Below 0 it takes `max_steps`.
            initial: Proportions, means and covariances to begin from, in the shapes of the attributes; by
                default clusters of k-means.
            starts: How many times to begin anew from other clusters; the best is kept.
            batch_size: Rows of an E-step on the device at once.
            seed: Of the clusters.

        Raises:
            ValueError: if an argument does not fit, or a number is infinite.
        """
        x = _rows_of(x)
        if x.ndim != 2 or np.isnan(x).all(axis=0).any():
            raise ValueError(
                f"x must be (n, d), finite or NaN, with something seen in each column, got the shape "
                f"{x.shape}"
            )
        check_finite("x", np.where(np.isnan(x), 0.0, x))
        if len(x) < self.num_components:
            raise ValueError(
                f"x must have at least {self.num_components} rows, one for each component, got {len(x)}"
            )
        if max_steps < 1 or starts < 1 or batch_size < 1:
            raise ValueError(
                f"max_steps, starts and batch_size must be at least 1, got {max_steps}, {starts} and "
                f"{batch_size}"
            )
        shift = np.nanmean(x, axis=0)  # products of x lose digits far from 0
        with double_precision():
            rows = Rows(x - shift, batch_size)
            best = -np.inf
            for number in range(1 if initial is not None else starts):
                begin = (
                    self._begin(x - shift, seed + number)
                    if initial is None
                    else self._checked(initial, x.shape[1], shift)
                )
                values, reached = zip(*self._climb(rows, begin, len(x), max_steps, tol), strict=True)
                if values[-1] > best or number == 0:
                    best, self.history = values[-1], [*values]
                    self.converged = bool(len(values) > 1 and values[-1] - values[-2] < tol)
                    self._keep(reached[-1], shift)
        if not self.converged and tol >= 0:
            warnings.warn(
                f"EM has not converged in {max_steps} steps: the last raised the mean log-likelihood of a "
                f"row by "
                f"{self.history[-1] - self.history[-2]:.2g}, more than tol, {tol:g}. Raise max_steps, or "
                f"give a larger tol",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _climb(
        self, rows: Rows, gaussians: Gaussians, count: int, max_steps: int, tol: float
    ) -> Iterator[tuple[float, Gaussians]]:
        """(mean log-likelihood, components) from the start on, each after one step more."""
        before = -np.inf
        for step in range(max_steps + 1):
            moments = rows.moments(gaussians)
            value = moments.log_likelihood / count
            yield value, gaussians
            if step == max_steps or value - before < tol:
                return
            before, gaussians = value, self._maximize(moments, gaussians)

    def _maximize(self, moments: Moments, old: Gaussians | None) -> Gaussians:
        """Return the components of the M-step.

        Of all components within the form and above the floor, they make the moments likeliest.
        """
        count, size = moments.owned, moments.first.shape[1]
        owns = count > 1e-12 * count.sum()
        safe = np.where(owns, count, 1.0)[:, None]
        means = moments.first / safe
        if moments.second.ndim == 2:
            covariances = moments.second / safe - means**2
            if self.covariance == "spherical":
                covariances = np.broadcast_to(covariances.mean(axis=1, keepdims=True), (len(count), size))
            covariances = np.maximum(covariances, self.floor)
        else:
            covariances = moments.second / safe[..., None] - means[:, :, None] * means[:, None, :]
            if self.covariance == "tied":
                shares = np.where(owns, count, 0.0) / count[owns].sum()
                covariances = np.tensordot(shares, covariances, 1)[None]
            values, vectors = np.linalg.eigh((covariances + covariances.swapaxes(1, 2)) / 2)
            covariances = (vectors * np.maximum(values, self.floor)[:, None, :]) @ vectors.swapaxes(1, 2)
            covariances = np.broadcast_to(covariances, (len(count), size, size))
        if not owns.all() and old is not None:  # a component that owns nothing may be anything: it stays
            means = np.where(owns[:, None], means, old.means)
            column = owns.reshape(-1, *[1] * (covariances.ndim - 1))
            covariances = np.where(column, covariances, old.covariances)
        return Gaussians(count / count.sum(), means, covariances)

    def _begin(self, x: np.ndarray, seed: int) -> Gaussians:
        rng = np.random.default_rng(seed)
        x = x if len(x) <= _ROWS_FOR_A_START else x[rng.choice(len(x), _ROWS_FOR_A_START, replace=False)]
        x = np.where(np.isnan(x), 0.0, x)  # the mean of the column
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a cluster that lost its points: it owns nothing
            spread = len(np.unique(x, axis=0)) > self.num_components  # else k-means++ runs out of points
            label = kmeans2(x, self.num_components, iter=20, minit="++" if spread else "points", rng=rng)[1]
        owned = np.eye(self.num_components)[label] + 1e-3 / self.num_components
        diagonal = self.covariance in ("diagonal", "spherical")
        second = owned.T @ x**2 if diagonal else np.einsum("rk,ri,rj->kij", owned, x, x, optimize=True)
        return self._maximize(Moments(0.0, owned.sum(axis=0), owned.T @ x, second), None)

    def _checked(self, initial: tuple[npt.ArrayLike, ...], size: int, shift: np.ndarray) -> Gaussians:
        k = self.num_components
        shapes = {"full": (k, size, size), "diagonal": (k, size), "tied": (size, size), "spherical": (k,)}
        wanted = ((k,), (k, size), shapes[self.covariance])
        parts = [np.asarray(part, float) for part in initial]
        if [part.shape for part in parts] != [*wanted] or not all(np.isfinite(part).all() for part in parts):
            raise ValueError(
                f"initial must be finite proportions, means, covariances {wanted}, got "
                f"{[part.shape for part in parts]}"
            )
        if parts[0].min() < 0 or not np.isclose(parts[0].sum(), 1.0):
            raise ValueError(
                f"initial proportions must be 0 or more and add up to 1, got {parts[0].tolist()}"
            )
        matrix = parts[2].ndim == 3 or self.covariance == "tied"
        if (np.linalg.eigvalsh(parts[2]) if matrix else parts[2]).min() <= 0:
            raise ValueError("initial covariances must be positive definite")
        return Gaussians(parts[0], parts[1] - shift, self._widened(parts[2], size))

    def _widened(self, covariances, size):
        if self.covariance == "spherical":
            return np.repeat(covariances[:, None], size, axis=1)
        if self.covariance == "tied":
            return np.broadcast_to(covariances, (self.num_components, size, size))
        return covariances

    def _keep(self, gaussians, shift):
        self.proportions, self.means = gaussians.proportions, gaussians.means + shift
        narrowed = {"spherical": np.s_[:, 0], "tied": 0}.get(self.covariance, np.s_[:])
        self.covariances = np.array(gaussians.covariances[narrowed])

    @property
    def gaussians(self) -> Gaussians:
        """The components, with a covariance for each whatever the form."""
        if self.means is None or self.proportions is None:
            raise ValueError("this mixture knows no components yet: fit it")
        return Gaussians(self.proportions, self.means, self._widened(self.covariances, self.means.shape[1]))

    def call(self, x):
        return self.log_prob(ops.convert_to_tensor(x))

    def log_prob(self, x: Tensor) -> Any:
        """log q(x) `(rows,)` in nats.

        Of an array with NaN the density of what was seen; of a tensor a tensor, to be differentiated.
        """
        if ops.is_tensor(x) or isinstance(x, keras.KerasTensor):
            return ops.logsumexp(log_densities(x, self.gaussians), axis=-1)
        with np.errstate(invalid="ignore"):  # NaN stays NaN
            return np.logaddexp.reduce(self._scores(x), axis=1)

    def responsibilities(self, x: npt.ArrayLike) -> np.ndarray:
        """Probability of each component, given each row: `(rows, k)`."""
        scores = self._scores(x)
        return np.exp(scores - np.logaddexp.reduce(scores, axis=1)[:, None])

    def _scores(self, x):
        x, gaussians = _rows_of(x), self.gaussians
        if x.ndim != 2 or x.shape[1] != gaussians.means.shape[1]:
            raise ValueError(f"x must be (rows, {gaussians.means.shape[1]}), got the shape {x.shape}")
        with double_precision():
            scores = [
                seen_log_densities(part, gaussians)
                if np.isnan(part).any()
                else ops.convert_to_numpy(log_densities(ops.convert_to_tensor(part), gaussians))
                for part in np.split(x, range(_ROWS_AT_ONCE, len(x), _ROWS_AT_ONCE))
            ]
        return np.concatenate(scores)

    def sample(self, n: int, seed: int | None = None, components: npt.ArrayLike | None = None) -> np.ndarray:
        """`n` draws `(n, d)` float32; the same seed gives the same ones.

        Args:
            n: At least 1.
            seed: None draws afresh.
            components: Which component each draw comes from, `(n,)`; drawn by their proportions if None.

        Raises:
            ValueError: if an argument does not fit.
        """
        check_count("n", n)
        gaussians, rng = self.gaussians, np.random.default_rng(seed)
        if components is None:
            which = rng.choice(self.num_components, n, p=gaussians.proportions / gaussians.proportions.sum())
        else:
            which = np.asarray(components)
        if which.shape != (n,) or which.min() < 0 or which.max() >= self.num_components:
            raise ValueError(
                f"components must be {n} numbers from 0 to {self.num_components - 1}, got the shape "
                f"{which.shape}"
            )
        noise = rng.normal(size=(n, gaussians.means.shape[1]))
        if gaussians.covariances.ndim == 2:
            return (gaussians.means[which] + np.sqrt(gaussians.covariances)[which] * noise).astype("float32")
        roots = np.linalg.cholesky(gaussians.covariances)
        return (gaussians.means[which] + np.einsum("rij,rj->ri", roots[which], noise)).astype("float32")

    def save_own_variables(self, store):
        for name in _PARAMETERS:
            if (value := getattr(self, name)) is not None:
                store[name] = value

    def load_own_variables(self, store):
        if "means" in {*store.keys()}:
            proportions, means, covariances = (np.array(store[name]) for name in _PARAMETERS)
            self._checked((proportions, means, covariances), (0, *means.shape)[-1], np.zeros(()))
            self.proportions, self.means, self.covariances = proportions, means, covariances

    def get_config(self):
        own = {"num_components": self.num_components, "covariance": self.covariance, "floor": self.floor}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def _rows_of(x: Any) -> np.ndarray:
    """A table, list, tensor or array as float64, NaN where a value is missing."""
    return (
        np.ma.filled(x.astype(float), np.nan)
        if isinstance(x, np.ma.MaskedArray)
        else np.asarray(as_numbers("x", x), float)
    )
