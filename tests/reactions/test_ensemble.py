import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from partita.reactions import Network, SimulationWarning, simulate
from partita.reactions.kernels import generated
from partita.reactions.simulation import engine
from partita.reactions.simulation.ensemble import request_of

NET = Network.from_text("k = 20; -> m @ k; m -> m + n @ 2.5; m -> @ 1; n -> @ 1")
TIMES = [0, 1, 2.5, 4]
ROOT = Path(__file__).parents[2]


def same(one, other):
    xr.testing.assert_identical(one.load(), other.load())


@pytest.mark.parametrize("method", ["direct", "sparse", "tau"])
def test_the_seed_alone_decides(method, monkeypatch):
    whole = simulate(NET, TIMES, 100, seed=3, method=method)
    same(whole, simulate(NET, TIMES, 100, seed=3, method=method, threads=3))
    same(whole.isel(trajectory=slice(40)), simulate(NET, TIMES, 40, seed=3, method=method, threads=1))
    monkeypatch.setattr(engine, "BUDGET", 500)  # kernels return to Python all the time
    same(whole, simulate(NET, TIMES, 100, seed=3, method=method))
    assert not whole.m.equals(simulate(NET, TIMES, 100, seed=4, method=method).m)


def test_lanes_and_scalar_kernel_are_one(monkeypatch):
    lanes = simulate(NET, TIMES, 200, seed=3)
    monkeypatch.setattr(engine, "FEWEST_FOR_LANES", 10**9)
    same(lanes, simulate(NET, TIMES, 200, seed=3))


def test_one_of_many_reactions_is_found_by_branches_and_it_shows_nowhere():
    size = 9  # 15 reactions
    ring = [f"x{i} + x{i} <-> x{(i + 1) % size} @ {i + 1}, 0.3" for i in range(0, size, 3)]
    net = Network.from_text(
        "; ".join([*ring, *(f"x{i} -> x{(i + 1) % size} @ {i + 1}" for i in range(size)), "x0 = 40"])
    )
    runs, path = simulate(net, TIMES, 8, seed=3, method="direct"), net.trace(4, trajectory=5, seed=3)
    rows = np.searchsorted(path.time, TIMES, side="right") - 1
    for name in net.species:
        np.testing.assert_array_equal(path[name][rows], runs[name][5])
    same(
        runs.isel(trajectory=slice(4)), simulate(net, TIMES, 4, seed=3, method="direct")
    )  # too few for lanes


def test_the_times_asked_for_do_not_change_a_path():
    coarse, fine = simulate(NET, [4], 50, seed=3), simulate(NET, np.linspace(0, 4, 401), 50, seed=3)
    np.testing.assert_array_equal(coarse.m.sel(time=4), fine.m.sel(time=4))


def test_trace_holds_what_simulate_records():
    path, runs = NET.trace(4, trajectory=7, seed=3), simulate(NET, TIMES, 8, seed=3)
    rows = np.searchsorted(path.time, TIMES, side="right") - 1
    np.testing.assert_array_equal(path.n[rows], runs.n[7])
    made = (path.reaction == 1).sum() - (path.reaction == 3).sum()
    assert path.n[-1] == made


def test_numbers_do_not_recompile():
    simulate(NET, [5], 2000, seed=0)
    simulate(NET, [0.0], 1, seed=0)
    compiled = engine.load.cache_info().misses
    first = simulate(NET, [5], 2000, seed=1, parameters={"k": 40})
    assert abs(first.m.mean() - 40 * (1 - np.exp(-5))) < 5 * np.sqrt(40 / 2000)
    assert simulate(NET, [0.0], 1, {"m": 7}, seed=1).m.item() == 7
    assert engine.load.cache_info().misses == compiled


def test_status_says_why_a_run_ended():
    decay = Network.from_text("A = 50; A -> @ 1")
    runs = simulate(decay, [0, 0.001, 100], 10, seed=0)
    assert (runs.status == "absorbed").all()
    assert (runs.events == 50).all()
    with pytest.warns(SimulationWarning, match="max_events = 20"):
        runs = simulate(decay, [0, 0.001, 100], 10, seed=0, max_events=20)
    assert (runs.status == "event limit").all()
    assert (runs.events == 20).all()
    assert (runs.A.sel(time=100) == -1).all()
    assert (runs.end < 100).all()
    assert "trajectory 3: stopped after max_events = 20" in runs.attrs["stopped"]


@pytest.mark.parametrize("method", ["direct", "scalar", "sparse", "tau"])
@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        (
            "A = 3; slow: A -> @@ A - 1.5",
            "bad propensity",
            r"'slow: A -> @@ A - 1.5' is -0.5 at t = .* A = 1",
        ),
        ("A = 3; B = 1; A -> @@ B / (A - 2)", "bad propensity", "is inf at t"),
        ("A = 3; A -> @@ sqrt(A - 4)", "bad propensity", "is nan at t = 0"),
        ("A = 9007199254740990; -> A @ 1", "count limit", "'A' is about to pass 2"),
    ],
)
def test_what_cannot_go_on_stops_and_is_named(text, status, message, method):
    with pytest.warns(SimulationWarning, match=message):
        runs = simulate(
            Network.from_text(text), [1000.0], 20, seed=0, method=method.replace("scalar", "direct")
        )
    assert (runs.status == status).all()
    assert (runs.A == -1).all()


@pytest.mark.parametrize("method", ["direct", "scalar", "sparse", "tau"])
def test_minus_zero_is_zero_and_a_total_of_zero_absorbs(method):
    network = Network.from_text("A = 5; A -> @@ 2 * A; B -> @@ -B * 3")
    runs = simulate(network, [50.0], 20, seed=0, method=method.replace("scalar", "direct"))
    assert (runs.status == "absorbed").all()
    assert (runs.A == 0).all()


def test_events_happen_at_their_time_and_in_their_order():
    network = Network.from_text(
        "species X, Y; X = 10; k = 0; X -> @ k; at t >= 2: X = 50, k = 1;"
        "when X <= 25, priority 1: Y = Y + 1; when X <= 25, priority 2: Y = 10 * Y"
    )
    runs = simulate(network, [1.999, 2.0, 60.0], 20, seed=0)
    assert (runs.X.sel(time=1.999) == 10).all()
    assert (runs.X.sel(time=2.0) == 50).all()
    assert (runs.X.sel(time=60.0) == 0).all()
    assert (runs.Y.sel(time=60.0) == 11).all()  # 0 → 0·10 + 1 at the start, then 1 → 10 + 1
    path = network.trace(60, seed=0)
    assert path.time[path.X == 50][0] == 2.0


def test_events_that_never_settle_are_stopped():
    with pytest.warns(SimulationWarning, match="set one another off"):
        runs = simulate(
            Network.from_text("X = 1; when X > 0: X = 0; when X < 1: X = 1; X -> @ 1"), [1.0], seed=0
        )
    assert runs.status.item() == "bad event"


def test_a_rate_that_steps_in_time_is_exact():
    """Deaths are exact at rate 1 before t = 1 and 3 after.

    The mean at t = 2 is 1000 exp(−4), out of 5σ once in two million.
    """
    runs = simulate(Network.from_text("A = 1000; A -> @@ A * if(t < 1, 1, 3)"), [1.0, 2.0], 1000, seed=0)
    for k, exponent in enumerate((1, 4)):
        p = np.exp(-exponent)
        assert abs(runs.A[:, k].mean() - 1000 * p) < 5 * np.sqrt(1000 * p * (1 - p) / 1000)


def test_species_rules_and_fixed_ones_are_recorded():
    network = Network.from_text("fixed S; S = 4; A = 10; total := A + B / 2 + S; A + S -> B + S @ 0.1")
    runs = simulate(network, [0.0, 3.0], 5, seed=0, species=["total", "S", "B"])
    assert [*runs.data_vars] == ["total", "S", "B"]
    np.testing.assert_array_equal(runs.total, 14 - runs.B / 2)
    assert (runs.S == 4).all()


def test_reduction_is_that_of_the_trajectories_whatever_the_chunks():
    runs = simulate(NET, TIMES, 300, seed=3)
    wanted = ("mean", "variance", "histogram")
    reduced = simulate(NET, TIMES, 300, seed=3, reduce=wanted)
    same(reduced, simulate(NET, TIMES, 300, seed=3, reduce=wanted, chunk=7))
    np.testing.assert_allclose(reduced.n_mean, runs.n.mean("trajectory"), rtol=1e-14)
    np.testing.assert_allclose(reduced.n_variance, runs.n.var("trajectory", ddof=1), rtol=1e-12)
    np.testing.assert_array_equal(
        reduced.n_histogram.sel(time=4), np.bincount(runs.n.sel(time=4), minlength=reduced.sizes["n_value"])
    )
    with pytest.warns(SimulationWarning):
        reduced = simulate(NET, TIMES, 300, seed=3, reduce="mean", max_events=150)
    assert reduced.number[0] == 300 > reduced.number[2]


def test_dask_gives_the_same_numbers():
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            spread = simulate(NET, TIMES, 100, seed=3, client=client, chunk=13)
    same(spread, simulate(NET, TIMES, 100, seed=3))


def test_a_cluster_that_loses_a_worker_gives_the_same():
    distributed = pytest.importorskip("distributed")

    def slow():
        run = engine.Engine.run
        engine.Engine.run = lambda *arguments: time.sleep(0.2) or run(*arguments)

    def lose(address, pid):
        while not client.processing()[address]:
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
            distributed.Client(cluster) as client,
        ):
            client.run(slow)
            address, pid = next(iter(client.run(os.getpid).items()))
            killer = threading.Thread(target=lose, args=(address, pid))
            killer.start()
            spread = simulate(NET, TIMES, 100, seed=3, client=client, chunk=5)
            killer.join()
            assert pid not in client.run(os.getpid).values()
    same(spread, simulate(NET, TIMES, 100, seed=3))


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_killed_run_goes_on_and_ends_with_the_same_data(suffix, tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from partita.reactions import Network, simulate
from partita.reactions.simulation import journal
put = journal.Journal.put
def slow(self, runs):
    put(self, runs)
    print("chunk", flush=True)
    import time; time.sleep(0.3)
journal.Journal.put = slow
save = {str(tmp_path / ("runs" + suffix))!r}
simulate(Network.from_text({str(NET)!r}), {TIMES}, 100, seed=3, chunk=20, save=save)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "chunk\n"
    assert process.stdout.readline() == "chunk\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    folder = tmp_path / f"runs{suffix}.partial"
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert 2 <= len(done) < 5
    with pytest.raises(ValueError, match="differs in seed"):
        simulate(NET, TIMES, 100, seed=4, chunk=20, save=tmp_path / ("runs" + suffix))
    computed = []
    run = engine.Engine.run
    try:
        engine.Engine.run = lambda self, first, *rest: computed.append(first) or run(self, first, *rest)
        with simulate(
            NET, TIMES, 100, chunk=20, save=tmp_path / ("runs" + suffix)
        ) as saved:  # the seed stands in the journal
            saved.load()
    finally:
        engine.Engine.run = run
    assert computed == [20 * i for i in range(len(done), 5)]
    saved.attrs.pop("call")
    whole = simulate(NET, TIMES, 100, seed=3)
    for name in (*whole.variables,):
        np.testing.assert_array_equal(saved[name], whole[name])
    assert saved.attrs == whole.attrs
    assert not folder.exists()
    with simulate(NET, TIMES, 100, seed=3, chunk=20, save=tmp_path / ("runs" + suffix)) as again:
        np.testing.assert_array_equal(again.n, whole.n)


def test_ctrl_c_returns_what_is_done():
    def press():
        while not any("ThreadPoolExecutor" in thread.name for thread in threading.enumerate()):
            time.sleep(0.01)
        time.sleep(0.2)
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    simulate(NET, [0.1], 20, seed=0)  # compiled
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever other tests brought along
    pressed = []
    thread = threading.Thread(target=press)
    thread.start()
    with pytest.warns(SimulationWarning, match="interrupted"):
        runs = simulate(NET, [0.0, 1.0, 1e4], 100_000, seed=0, threads=1)
    waited = time.monotonic() - pressed[0]
    thread.join()
    assert waited < 30  # the whole run would take an hour
    assert {"finished", "interrupted"} >= {*np.unique(runs.status)}
    assert (runs.n.where(runs.status == "finished", drop=True) >= 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": [1, 0]}, "times must be increasing"),
        ({"times": [-1.0]}, "times must be increasing"),
        ({"times": []}, "times must be increasing"),
        ({"trajectories": 0}, "trajectories must be a whole number"),
        ({"trajectories": 2.5}, "trajectories must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"initial": {"q": 1}}, "initial must name species"),
        ({"initial": {"m": -1}}, "must be a whole number"),
        ({"parameters": {"q": 1}}, "parameters must name parameters"),
        ({"parameters": {"k": -1}}, "must not be negative"),
        ({"parameters": {"k": np.nan}}, "must be a finite number"),
        (
            {"parameters": {"k": [10, 20]}},
            r"parameters\['k'\] must be one finite number, got \[10, 20\]: .* once for each",
        ),
        ({"parameters": {"k": np.array([10.0, 20.0])}}, r"parameters\['k'\] must be one finite number"),
        ({"parameters": {"k": "fast"}}, "must be a finite number, got 'fast'"),
        ({"parameters": {"k": 10**5000}}, "got an int of 16610 bits"),
        ({"initial": {"m": [1, 2]}}, "must be a whole number"),
        ({"times": "soon"}, "times must be increasing numbers"),
        ({"species": ["q"]}, "species must be a list"),
        ({"species": "m"}, "species must be a list"),
        ({"method": "magic"}, "method must be one of"),
        ({"reduce": "median"}, "reduce must be among"),
        ({"reduce": "mean", "save": "x.nc"}, "save keeps trajectories"),
        ({"save": "x.csv"}, "save must end in"),
        ({"max_events": 0}, "max_events must be"),
        ({"threads": 0}, "threads must be"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate(NET, **{"times": TIMES, "seed": 0, **arguments})


def test_methods_without_events_refuse_them():
    with pytest.raises(ValueError, match="cannot do events"):
        simulate(Network.from_text("A = 5; A -> @ 1; at t > 3: A = 2"), [1.0], seed=0, method="sparse")


def test_progress_moves_within_a_chunk(capsys, monkeypatch):
    monkeypatch.setattr(engine, "BUDGET", 20_000)
    said = []
    monkeypatch.setattr(
        "partita.progress.Progress.tell",
        lambda self, done, share: said.append((done, share)),
    )
    simulate(NET, [200.0], 40, seed=0, threads=1, progress=True)
    assert said[-1] == (40, 1.0)
    engine_ = engine.Engine(request_of(NET, [300.0], None, None, 0, None, "direct", None))
    said.clear()
    engine_.run(0, 16, 1, threading.Event(), lambda done, share: said.append((done, share)))
    assert [share for _, share in said] == sorted(share for _, share in said)


def test_progress_on_no_terminal_is_lines(capsys):
    simulate(NET, TIMES, 50, seed=0, chunk=1, progress=True)
    told = capsys.readouterr().err
    assert "\r" not in told
    assert 3 <= told.count("\n") <= 12


FALLS_LATE = {
    "a step in time": "A = 3; A -> @@ if(t > 5, -1, 0.1 * A)",
    "a step at the end": "A = 3; A -> @@ if(t >= 5, -1, 0.1 * A)",
    "a straight line": "A = 3; -> A @@ 5 - t",
    "an event": "k = 1; A = 3; -> A @@ k; at 5: k = -1",
    "an event after": "k = 1; A = 3; -> A @@ k; at 5.5: k = -1",
    "a pole": "A = 3; -> A @@ 0.1 / (5.000001 - t)",
    "a line that ends between floats": "A = 3; -> A @@ 0.5 - 0.1 * t",
}


@pytest.mark.parametrize("method", ["direct", "scalar"])
@pytest.mark.parametrize("case", FALLS_LATE)
def test_a_propensity_that_is_wrong_after_the_last_time_is_no_matter(case, method):
    runs = simulate(Network.from_text(FALLS_LATE[case]), [0.0, 2.5, 5.0], 12, seed=0)
    assert {*runs.status.values.tolist()} <= {"finished", "absorbed"}
    assert (runs.A >= 0).all()
    assert runs.attrs["stopped"] == ""


@pytest.mark.parametrize("method", ["direct", "scalar", "sparse", "tau"])
def test_counts_are_recorded_up_to_the_moment_of_a_wrong_propensity(method):
    network = Network.from_text("A = 3; -> A @@ A - 4")
    runs = simulate(network, [0.0], 12, seed=0, method=method.replace("scalar", "direct"))
    assert (runs.status == "finished").all()
    assert (runs.A == 3).all()
    with pytest.warns(SimulationWarning, match=r"'-> A @@ A - 4' is -1 at t = 0"):
        runs = simulate(network, [0.0, 1.0], 12, seed=0, method=method.replace("scalar", "direct"))
    assert (runs.status == "bad propensity").all()
    np.testing.assert_array_equal(runs.A, [[3, -1]] * 12)


def test_progress_is_told_chunk_by_chunk(capsys):
    simulate(NET, TIMES, 50, seed=0, chunk=20, reduce="mean", progress=True)
    assert capsys.readouterr().err.endswith("50 of 50 trajectories\n")


def test_an_interrupted_run_keeps_the_chunks_that_are_complete(tmp_path, monkeypatch):
    pytest.importorskip("h5netcdf")
    run = engine.Engine.run

    def stop_at_the_third(self, first, *rest):
        runs = run(self, first, *rest)
        if first == 40:
            runs.status[3] = engine.INTERRUPTED
            rest[2].set()
        return runs

    path = tmp_path / "runs.nc"
    with monkeypatch.context() as context:
        context.setattr(engine.Engine, "run", stop_at_the_third)
        with pytest.warns(SimulationWarning, match="interrupted: 60 of 100 trajectories"):
            part = simulate(NET, TIMES, 100, seed=3, chunk=20, save=path)
    np.testing.assert_array_equal(part.m, simulate(NET, TIMES, 40, seed=3).m)
    assert not path.exists()
    with simulate(NET, TIMES, 100, seed=3, chunk=20, save=path) as whole:
        np.testing.assert_array_equal(whole.m, simulate(NET, TIMES, 100, seed=3).m)


def test_sums_of_three_are_one_law_on_both_exact_methods():
    network = Network.from_text("A = 9; -> A @@ A + B + C; A -> @ 2; B = 5; C = 3")
    means = [
        simulate(network, [1.0], 4000, seed=0, method=method).A.mean().item()
        for method in ("direct", "sparse")
    ]
    assert means[0] == pytest.approx(
        means[1], abs=0.7
    )  # a difference has the standard error 0.1: false alarms below 1 in a million


@pytest.mark.parametrize("writable", [True, False])
def test_kernels_are_kept_where_there_is_room(writable, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "PARTITA_CACHE", str(tmp_path / "kernels" if writable else Path(os.devnull) / "kernels")
    )
    generated.folder.cache_clear()
    generated.load.cache_clear()
    assert generated.load("from numba import njit\n\n@njit\ndef run(x):\n    return 2 * x\n")(21) == 42
    assert (len([*(tmp_path / "kernels").glob("run-*.kernel")]) == 1) is writable
    generated.folder.cache_clear()
    generated.load.cache_clear()
