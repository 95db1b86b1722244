"""The warning of a fit that has not converged."""


class ConvergenceWarning(UserWarning):
    """Warned where a fit has not reached its optimum, so that its numbers and their standard errors are not to be trusted.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("error", ConvergenceWarning)  # stop at a fit that has not converged
    """
