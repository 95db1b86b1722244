"""Exact simulation against rebop, GillesPy2, libRoadRunner and COPASI.

All simulate the same time of the same network; GillesPy2 does so by its C++ solver.

A peer that cannot be imported, or not run, is left out with a word. The networks are stationary or periodic
and the spans long, so both sides go through the same number of events within a percent or two, and the ratio
of times is that of events a second.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable
from time import perf_counter

import numpy as np
import rebop

from benchmarks.corpora import folder
from benchmarks.harness import Report, compare
from partita.reactions import Network, read_sbml, simulate

EXPRESSION = Network.from_text("-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1")
VILAR = Network.from_text(
    "DA = 1; DR = 1; DA + A -> DAp @ 1; DAp -> DA + A @ 50; DR + A -> DRp @ 1; DRp -> DR + A @ 100; DAp -> "
    "DAp + MA @ 500;"
    "DA -> DA + MA @ 50; DRp -> DRp + MR @ 50; DR -> DR + MR @ 0.01; MA -> MA + A @ 50; MR -> MR + R @ 5; A "
    "+ R -> C @ 2; C -> R @ 1;"
    "A -> @ 1; R -> @ 0.2; MA -> @ 10; MR -> @ 0.5"
)


def ring(size: int) -> Network:
    """As many species as reactions, a hundred of each, going round."""
    counts = "; ".join(f"X{i} = 100" for i in range(size))
    return Network.from_text(counts + "; " + "; ".join(f"X{i} -> X{(i + 1) % size} @ 1" for i in range(size)))


def ours(network: Network, until: float, **options: object) -> Callable[[], object]:
    """One trajectory, on one thread, recorded at the end."""
    return lambda: simulate(network, [until], seed=0, threads=1, **options)


def by_rebop(network: Network, until: float, sparse: bool | None = None) -> Callable[[], object]:
    """The same by rebop; without `sparse` by whichever of its two ways is faster here."""
    peer = rebop.Gillespie()
    for reaction in network.reactions:
        sides = [[*Counter(dict(side)).elements()] for side in (reaction.reactants, reaction.products)]
        peer.add_reaction(reaction.rate.value, *sides)
    calls = {
        way: (lambda way=way: peer.run(network.initial, until, 1, rng=0, sparse=way)) for way in (True, False)
    }
    if sparse is None:
        seconds = {}
        for way, call in calls.items():
            start = perf_counter()
            call()
            seconds[way] = perf_counter() - start
        sparse = min(seconds, key=seconds.__getitem__)
    return calls[sparse]


def run(report: Report) -> None:
    """The networks of the claim, then the other peers on the first of them."""
    rounds = report.rounds or 7

    def row(claim: str, mine: Callable, peer: Callable, bar: float | None) -> None:
        report.compare(claim, compare(mine, peer, rounds=rounds, warmup=1), at_least=bar)

    row("gene expression, one trajectory / rebop", ours(EXPRESSION, 1e5), by_rebop(EXPRESSION, 1e5), 1.5)
    grid = np.linspace(0, 100, 101)
    # One long run of rebop has the events of the whole ensemble, and its overhead for each run only once.
    for threads, bar in ((1, 2.5), (2, 4.5)):
        row(
            f"gene expression, 1000 trajectories, {threads} threads / rebop, one",
            lambda threads=threads: simulate(EXPRESSION, grid, 1000, seed=0, threads=threads),
            by_rebop(EXPRESSION, 1e5),
            bar,
        )
    row("Vilar oscillator, one trajectory / rebop", ours(VILAR, 1000), by_rebop(VILAR, 1000), 2)
    from_file = read_sbml(folder() / "sbml" / "BIOMD0000000035.xml")
    row("Vilar oscillator as SBML / rebop, mass action", ours(from_file, 1000), by_rebop(VILAR, 1000), 2)
    row(
        "Vilar oscillator, 100 trajectories / rebop",
        lambda: simulate(VILAR, [20], 100, seed=0, threads=1),
        by_rebop(VILAR, 2000),
        None,
    )
    speeds = {}
    for size, until, bar in ((10, 1000, None), (100, 100, 3), (1000, 30, 20)):
        network = ring(size)
        mine = ours(network, until)
        row(f"ring of {size} / rebop, sparse", mine, by_rebop(network, until, sparse=True), bar)
        speeds[size] = float(mine().events.sum()) / min(report.rows[-1].detail["ours"])
    report.measure(
        "events/s at 1000 as a share of those at 100",
        speeds[1000] / speeds[100],
        at_least=0.5,
        **{f"ring_{k}": v for k, v in speeds.items()},
    )
    for name, prepare in (("GillesPy2, C++", gillespy2), ("libRoadRunner", roadrunner), ("COPASI", copasi)):
        try:
            peer = prepare(2000.0)
            peer()
        except Exception as error:
            print(f"{name} is left out: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
            continue
        row(f"gene expression, one trajectory / {name}", ours(EXPRESSION, 2000.0), peer, None)


def gillespy2(until: float) -> Callable[[], object]:
    """GillesPy2's compiled solver, built beforehand. It builds with this Python, which must find SCons."""
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    from gillespy2 import Model, Parameter, Reaction, Species, SSACSolver, TimeSpan

    model = Model(name="expression")
    species = {name: Species(name=name, initial_value=0) for name in EXPRESSION.species}
    model.add_species([*species.values()])
    for number, reaction in enumerate(EXPRESSION.reactions):
        rate = Parameter(name=f"k{number}", expression=reaction.rate.value)
        model.add_parameter(rate)
        sides = (
            {species[name]: count for name, count in side} for side in (reaction.reactants, reaction.products)
        )
        model.add_reaction(Reaction(f"r{number}", *sides, rate=rate))
    model.timespan(TimeSpan(np.array([0, until])))
    solver = SSACSolver(model=model)
    return lambda: model.run(solver=solver, seed=1)


def roadrunner(until: float) -> Callable[[], object]:
    """The Gillespie integrator of libRoadRunner."""
    import roadrunner as package

    model = package.RoadRunner(as_sbml(EXPRESSION))
    model.setIntegrator("gillespie")
    model.integrator.variable_step_size = False
    model.integrator.seed = 1

    def call() -> object:
        model.reset()
        return model.simulate(0, until, 2)

    return call


def copasi(until: float) -> Callable[[], object]:
    """COPASI's direct method."""
    import COPASI as package  # noqa: N811

    data = package.CRootContainer.addDatamodel()
    if not data.importSBMLFromString(as_sbml(EXPRESSION)):
        raise RuntimeError("the model was not read")
    task = data.getTask("Time-Course")
    task.setMethodType(package.CTaskEnum.Method_directMethod)
    task.getMethod().getParameter("Max Internal Steps").setUIntValue(2_000_000_000)
    problem = task.getProblem()
    problem.setDuration(until)
    problem.setStepNumber(1)

    def call() -> None:
        if not task.process(True):
            raise RuntimeError("COPASI did not get to the end")

    return call


def as_sbml(network: Network) -> str:
    """A network of mass action and first order, as SBML Level 3."""

    def side(tag: str, entries: tuple[tuple[str, int], ...]) -> str:
        references = "".join(
            f'<speciesReference species="{name}" stoichiometry="{count}" constant="true"/>'
            for name, count in entries
        )
        return f"<{tag}>{references}</{tag}>" if entries else ""

    def law(reaction) -> str:
        names = "".join(f"<ci>{name}</ci>" for name, _ in reaction.reactants)
        return (
            f"<apply><times/><cn>{reaction.rate.value}</cn>{names}</apply>"
            if names
            else f"<cn>{reaction.rate.value}</cn>"
        )

    species = "".join(
        f'<species id="{name}" compartment="c" initialAmount="{count}" substanceUnits="item" '
        f'hasOnlySubstanceUnits="true" '
        'boundaryCondition="false" constant="false"/>'
        for name, count in network.initial.items()
    )
    reactions = "".join(
        f'<reaction id="r{number}" reversible="false" '
        f'fast="false">{side("listOfReactants", reaction.reactants)}'
        f"{side('listOfProducts', reaction.products)}"
        f"<kineticLaw><math "
        f'xmlns="http://www.w3.org/1998/Math/MathML">{law(reaction)}</math></kineticLaw></reaction>'
        for number, reaction in enumerate(network.reactions)
    )
    return (
        '<?xml version="1.0"?><sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" '
        'version="1">'
        '<model id="network" substanceUnits="item" extentUnits="item"><listOfCompartments><compartment '
        'id="c" size="1" constant="true" '
        f'spatialDimensions="3"/></listOfCompartments><listOfSpecies>{species}</listOfSpecies>'
        f"<listOfReactions>{reactions}</listOfReactions></model></sbml>"
    )
