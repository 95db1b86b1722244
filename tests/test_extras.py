"""Where a package of an extra is missing, the extra is named, before anything is computed."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from partita import extras, tour, training
from partita.reactions import Network
from partita.reactions.simulation import engine
from partita.reactions.simulation.plot import draw

NET = Network.from_text("A = 3; A -> @ 1")
RUNS = NET.simulate([0.0, 1.0], 4, seed=0)


def hide(monkeypatch, package):
    """As if the package were not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


@pytest.fixture
def nothing_computed(monkeypatch):
    def compute(*arguments, **options):
        raise AssertionError("something was computed")

    monkeypatch.setattr(engine.Engine, "run", compute)
    monkeypatch.setattr(tour, "import_module", compute)


def fit():
    from partita import ode

    times = np.linspace(0, 1, 5)
    return ode.fit(lambda t, y, k: -k["k"] * y, {"k": 1.0}, times, np.exp(-times)[:, None], starts=1)


def sheet(path):
    from partita.flows import image_grid

    image_grid(np.ones((2, 4)), path=path)


CALLS = {
    "save zarr": ("zarr", "save", lambda folder: NET.simulate([1.0], save=folder / "runs.zarr")),
    "save netcdf": ("h5netcdf", "save", lambda folder: NET.simulate([1.0], save=folder / "runs.nc")),
    "draw": ("matplotlib", "cli", lambda folder: draw(RUNS)),
    "plot of a gap": (
        "matplotlib",
        "cli",
        lambda folder: training.linearity(lambda x: x, np.ones((2, 2)), np.ones((2, 2))).plot(),
    ),
    "plot of a trace": ("matplotlib", "cli", lambda folder: training.Trace().plot()),
    "plot of a fit": ("matplotlib", "cli", lambda folder: fit().plot()),
    "image_grid": ("matplotlib", "cli", lambda folder: sheet(folder / "sheet.png")),
    "the tour": ("sklearn", "cli", lambda folder: tour.run(["contrast", "flows"], folder / "page")),
}


@pytest.mark.parametrize(("package", "extra", "call"), CALLS.values(), ids=CALLS)
def test_python_names_the_extra(package, extra, call, tmp_path, monkeypatch, nothing_computed):
    pytest.importorskip(package)
    hide(monkeypatch, package)
    with pytest.raises(ImportError, match=rf"needs .*: pip install 'partita\[{extra}\]'"):
        call(tmp_path)
    assert not [*tmp_path.iterdir()]


COMMANDS = {
    "zarr": ("zarr", "save", ["simulate", "A = 3; A -> @ 1", "--until", 1, "--out", "{}/runs.zarr"]),
    "netcdf": ("h5netcdf", "save", ["simulate", "A = 3; A -> @ 1", "--until", 1, "--out", "{}/runs.nc"]),
    "simulate --plot": (
        "matplotlib",
        "cli",
        ["simulate", "A = 3; A -> @ 1", "--until", 1, "--plot", "{}/runs.png"],
    ),
    "fit --plot": ("matplotlib", "cli", ["fit", "k = 1; A -> @ k", __file__, "--plot", "{}/fit.png"]),
    "flow sample": ("matplotlib", "cli", ["flow", "sample", __file__, "--out", "{}/drawn.png"]),
    "tour": ("sklearn", "cli", ["tour", "--out", "{}/page"]),
    "sbml": ("libsbml", "sbml", ["simulate", "model.xml", "--until", 1]),
}


@pytest.mark.parametrize(("package", "extra", "arguments"), COMMANDS.values(), ids=COMMANDS)
def test_the_command_line_names_the_extra(
    package, extra, arguments, run, tmp_path, monkeypatch, nothing_computed
):
    pytest.importorskip(package)
    hide(monkeypatch, package)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.xml").write_text(
        '<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model/></sbml>'
    )
    code, out, err = run(*[str(argument).format(tmp_path) for argument in arguments])
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"pip install 'partita[{extra}]'" in err
    assert [path.name for path in tmp_path.iterdir()] == ["model.xml"]


def test_what_is_broken_is_not_called_missing(monkeypatch):
    """An installed package that lacks one of its own."""

    def broken(name):
        raise ModuleNotFoundError("No module named 'numcodecs'", name="numcodecs")

    monkeypatch.setattr(extras, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="numcodecs"):
        extras.need("zarr", "save")


@pytest.mark.parametrize(
    "package", [package for _, packages in extras.EXTRAS.values() for package in packages]
)
def test_each_package_has_an_extra(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"it needs .*: pip install 'partita\[\w+\]'"):
        extras.need(package, "it")
    monkeypatch.setitem(sys.modules, package, SimpleNamespace())
    extras.need(package, "it")
