"""The warning of a fit that has not converged."""


class ConvergenceWarning(UserWarning):
    """Warning that a fit has not reached its optimum.

    Its numbers and their standard errors are then not to be trusted.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("error", ConvergenceWarning)  # stop at a fit that has not converged
    """
