import io
import re
import sys

import pytest

from partita.progress import Progress


def terminal(monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_a_terminal_has_one_line_that_changes(monkeypatch):
    told = terminal(monkeypatch)
    progress = Progress(400, "trajectories")
    for done in range(401):
        progress.tell(done)
    progress.end()
    told = told.getvalue()
    assert told.count("\n") == 1
    assert re.fullmatch(r"\r100%\|.*\| 00:00<00:00, [\d,]+ trajectories/s, 400 of 400 trajectories *\n", told)


def test_elsewhere_each_tenth_has_a_line():
    stream = io.StringIO()
    progress = Progress(1000, "words", stream)
    for done in range(1001):
        progress.tell(done)
    progress.end()
    lines = stream.getvalue().splitlines()
    assert [line[:4].strip() for line in lines] == [f"{tenth}0%" for tenth in range(1, 11)]
    assert "\r" not in stream.getvalue()


def test_an_epoch_fills_its_line_on_a_terminal(monkeypatch):
    keras = pytest.importorskip("keras")
    from partita.callbacks.progress import Epochs

    stream, checked = terminal(monkeypatch), []
    lines = Epochs(lambda logs: f"loss {logs['loss']:.3f}", lambda: checked.append(True))
    assert isinstance(lines, keras.callbacks.Callback)
    lines.set_params({"epochs": 3, "steps": 4})
    lines.on_epoch_begin(0)
    for batch in range(4):
        lines.on_train_batch_end(batch, {"loss": 2.0})
    lines.on_epoch_end(0, {"loss": 1.0})
    assert len(checked) == 4
    bar, line = stream.getvalue().split("\r")[1:]
    assert bar.startswith("100%|")
    assert line == f"{'epoch 1/3  loss 1.000  0 s':<79}\n"
