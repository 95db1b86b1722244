"""One warning for every part: a search that has not ended."""


class ConvergenceWarning(UserWarning):
    """Warn that a search has not ended at an optimum, or at one that explains nothing: its numbers are not to be relied on.

    Example:
        >>> import warnings
        >>> import numpy as np
        >>> from partita.ode import fit
        >>> times = np.linspace(0.0, 1.0, 5)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", ConvergenceWarning)
        ...     found = fit(lambda t, y, p: -p["k"] * y, {"k": 9.0}, times, np.exp(-times)[:, None], starts=1, max_iterations=1)
        >>> found.converged
        False
    """
