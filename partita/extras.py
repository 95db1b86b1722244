"""The extras that partita is installed with, and the error for a package that is missing."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Extra → what it is for, and the packages it brings, by the names they are imported under.
EXTRAS = {
    "jax": ("JAX as Keras's backend, the one to take first", ("jax",)),
    "torch": ("PyTorch as Keras's backend", ("torch",)),
    "tensorflow": ("TensorFlow as Keras's backend", ("tensorflow",)),
    "cli": (
        "this command, its tables and pictures, the tour",
        ("click", "h5netcdf", "jinja2", "matplotlib", "sklearn"),
    ),
    "sbml": ("read_sbml, and SBML files for `partita simulate`", ("libsbml",)),
    "dask": ("ensembles, and many files to be tagged, on a cluster", ("dask", "distributed")),
    "save": ("runs saved as NetCDF or Zarr", ("h5netcdf", "zarr")),
}
INSTALLED_AS = {
    "jinja2": "Jinja2",
    "libsbml": "python-libsbml",
    "matplotlib": "Matplotlib",
    "sklearn": "scikit-learn",
    "distributed": "Dask",
}


def need(package: str, what: str) -> None:
    """Raise an error that names the extra to install if a package is missing.

    Call it before anything is computed.

    Args:
        package: The name it is imported under, one of those in `EXTRAS`, or a module of it.
        what: What it is needed for, as the user wrote it: an argument, a function, an option.

    Raises:
        ImportError: if it is missing.

    Example:
        >>> need("matplotlib", "plot")
    """
    package, _, module = package.partition(".")
    try:
        import_module(f"{package}.{module}" if module else package)
    except ModuleNotFoundError as error:
        if (error.name or package).partition(".")[
            0
        ] != package:  # it is there, and something that it needs itself is not
            raise
        extra = min((len(packages), extra) for extra, (_, packages) in EXTRAS.items() if package in packages)[
            1
        ]
        raise ImportError(
            f"{what} needs {INSTALLED_AS.get(package, package)}: pip install 'partita[{extra}]'"
        ) from None


def current_axes() -> "Axes":
    """Return Matplotlib's current axes, for a method `plot` that was not given any.

    Raises:
        ImportError: if Matplotlib is missing.

    Example:
        >>> current_axes() is current_axes()
        True
    """
    need("matplotlib", "plot")
    import matplotlib.pyplot as plt

    return plt.gca()
