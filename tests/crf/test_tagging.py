"""Many files, here or on a cluster: each is done once, whole, and the same wherever."""

import os
import signal
import threading
import time
import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from partita import crf
from partita.crf import command, tagging


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras.utils.set_random_seed(0)
    lexicon = crf.Lexicon.fit(
        ["abcd"], [["b", "e", "b", "e"]], scheme="bmes", features="character", min_count=1
    )
    encoder = keras.Sequential([keras.layers.Reshape((-1,)), keras.layers.Embedding(6, 4)])
    tagger = crf.Tagger(encoder, crf.CRF(4, lexicon.constraints), lexicon=lexicon)
    tagger(np.ones((1, 3, 1), "int32"))
    path = tmp_path_factory.mktemp("tagging") / "words.keras"
    tagger.save(path)
    return path


@pytest.fixture
def files(tmp_path):
    draw = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.txt" for number in range(8)]
    for path in paths:
        path.write_text(
            "".join("".join(draw.choice([*"abcd "], draw.integers(1, 30))) + "\n" for _ in range(20))
        )
    return paths


def read(paths):
    return [path.read_text() for path in paths]


def test_what_is_finished_is_not_done_again(model, files, tmp_path, monkeypatch):
    done = []
    tag_file = tagging.tag_file
    monkeypatch.setattr(tagging, "tag_file", lambda *job: done.append(job[1]) or tag_file(*job))
    cut = crf.tag_files(model, files[:2], tmp_path / "cut")
    assert [path.name for path in cut] == ["0.txt", "1.txt"]
    assert [text.replace(" ", "") for text in read(cut)] == [
        text.replace(" ", "") for text in read(files[:2])
    ]
    first = read(cut)
    said = []
    assert read(crf.tag_files(model, files[:3], tmp_path / "cut", report=said.append))[:2] == first
    assert said == ["1 of 3 files to be tagged", str(files[2])]
    files[0].write_text("abab\n")
    os.utime(files[0], ns=(2**62, 2**62))
    crf.tag_files(model, files[:3], tmp_path / "cut")
    assert done == [str(files[index]) for index in (0, 1, 2, 0)]
    with pytest.raises(ValueError, match="holds what another model or other settings gave"):
        crf.tag_files(model, files[:3], tmp_path / "cut", separator="|")
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"must have different names.* got '0\.txt' twice"):
        crf.tag_files(model, [files[0], tmp_path / "b" / "0.txt"], tmp_path / "cut")


def test_the_command(model, files, tmp_path, run):
    code, out, err = run("tag", "apply", model, *files[:2], "--out", tmp_path / "cut")
    assert (code, out, err.splitlines()[0]) == (0, "", "2 of 2 files to be tagged")
    assert read([tmp_path / "cut" / "1.txt"])[0] == run("tag", "apply", model, files[1])[1]
    assert (
        run("tag", "apply", model, *files[:2], "--out", tmp_path / "cut")[2] == "0 of 2 files to be tagged\n"
    )
    two = files[:2]
    for arguments in (
        two,
        [*two, "-", "--out", tmp_path / "cut"],
        [*two, "--out", files[3]],
        [files[0], "--dask", "local"],
    ):
        code, _, err = run("tag", "apply", model, *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert "need a folder: --out FOLDER" in err
    files[2].write_bytes(b"\xff\n")
    code, _, err = run("tag", "apply", model, *files[:3], "--out", tmp_path / "cut")
    assert (code, err.splitlines()[1]) == (
        1,
        f"partita: {files[2]}:1: want utf-8, got byte 0xff after 0 bytes",
    )


def test_a_cluster_that_loses_a_worker_gives_the_same(model, files, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    here = read(crf.tag_files(model, files, tmp_path / "here"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
            distributed.Client(cluster) as client,
        ):
            pids = [*client.run(os.getpid).values()]
            client.run(_slow)
            seen = threading.Thread(target=_kill_after_the_first, args=(tmp_path / "there", pids[0]))
            seen.start()
            there = crf.tag_files(model, files, tmp_path / "there", client)
            seen.join()
            assert pids[0] not in client.run(os.getpid).values()
            monkeypatch.setattr(tagging, "tag_file", None)
            assert crf.tag_files(model, files, tmp_path / "there", client) == there
    assert read(there) == here
    assert {path.name for path in (tmp_path / "there").iterdir()} == {path.name for path in files} | {
        tagging.SETTINGS
    }


def _slow():
    """Make a worker's files take a while, so that one is lost in the middle of it."""
    from partita.crf import tagging

    quick = tagging.tagged_text

    def slow(*arguments):
        for piece in quick(*arguments):
            time.sleep(0.02)
            yield piece

    tagging.tagged_text = slow


def _kill_after_the_first(folder, pid):
    while not [*folder.glob("?.txt")]:
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)


def _lose(*job):
    from distributed import KilledWorker

    raise KilledWorker("task", SimpleNamespace(address="there"), 3)


def test_a_cluster_is_found_by_its_address(model, files, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
            ) as cluster,
            command._cluster(cluster.scheduler_address) as client,
        ):
            assert client.submit(sum, [1, 2]).result() == 3
            monkeypatch.setattr(tagging, "tag_file", _lose)
            with pytest.raises(ValueError, match=r"0\.txt: every worker that tagged it was lost"):
                crf.tag_files(model, files[:1], tmp_path / "lost", client)
    with command._cluster(None) as client:
        assert client is None
