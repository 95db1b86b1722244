import json
import sys

import pytest

from benchmarks import harness, table
from benchmarks.__main__ import listing
from benchmarks.harness import Comparison, Report, compare, compare_commands


class Clock:
    """Time that passes only when a call takes it."""

    def __init__(self):
        self.now = 0.0
        self.calls = ""

    def __call__(self):
        return self.now

    def work(self, name, seconds):
        def call():
            self.now += seconds
            self.calls += name

        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(harness, "perf_counter", clock)
    return clock


def test_calls_take_turns(clock):
    both = compare(clock.work("a", 1.0), clock.work("b", 3.0), rounds=3, warmup=1)
    assert clock.calls == "ab" + "ababab"
    assert both == Comparison(ours=(1.0,) * 3, peer=(3.0,) * 3)


def test_a_fast_call_is_repeated(clock):
    both = compare(clock.work("a", 0.25), clock.work("b", 1.0), rounds=2, warmup=1, min_time=1.0)
    assert clock.calls == "ab" + "aaaab" * 2
    assert both.ratio == 4


def test_a_disturbed_round_moves_the_ratio_little():
    both = Comparison(ours=(1.0, 1.0, 1.0, 9.0), peer=(5.0, 5.0, 5.0, 5.0))
    assert both.ratio == both.ratio_of_medians == 5
    assert both.spread[0] < 5 == both.spread[1]


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"warmup": 0}])
def test_too_few_rounds_are_refused(wrong):
    with pytest.raises(ValueError, match=r"`rounds`.* at least 1"):
        compare(int, int, **wrong)


def python(code):
    return [sys.executable, "-c", code]


def test_commands_answer_with_their_last_line():
    both = compare_commands(python("print('warming up'); print(0.5)"), python("print(2)"), rounds=2)
    assert both == Comparison(ours=(0.5, 0.5), peer=(2.0, 2.0))


def test_a_failing_command_is_quoted():
    with pytest.raises(RuntimeError, match=r"ended with 3:\nno such peer"):
        compare_commands(python("print(1)"), python("import sys; print('no such peer'); sys.exit(3)"))


def test_a_command_that_prints_no_number_is_refused():
    with pytest.raises(ValueError, match="must print a number as its last line, got 'fast'"):
        compare_commands(python("print('fast')"), python("print(1)"))


@pytest.fixture
def report():
    report = Report("demo")
    report.compare("speed", Comparison(ours=(0.002, 0.002), peer=(0.03, 0.03)), at_least=20)
    report.measure("word F1", 0.951, peer=0.94, at_least=0.95, illegal=0)
    report.measure("start", 0.25, unit="s", at_most=0.2)
    report.measure("tagging", 250_000, unit="characters/s")
    return report


def test_rows_tell_whether_the_bar_was_met(report):
    assert [row.met for row in report.rows] == [False, True, False, None]


def test_table_is_aligned(report):
    header, *rows = report.table().splitlines()
    assert [row.split()[-1] for row in rows] == ["NO", "yes", "NO", "characters/s"]
    assert all(
        row.index(first) == header.index("ours")
        for row, first in zip(rows, ("2 ms", "0.951", "250 ms", "250,000"), strict=True)
    )


def test_report_is_saved_with_its_machine(report, tmp_path):
    path = tmp_path / "demo.json"
    report.save(path)
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert saved["rows"][0]["detail"]["peer"] == [0.03, 0.03]
    assert saved["rows"][1]["detail"] == {"illegal": 0}
    assert {"keras", "numpy"} <= set(saved["machine"]["packages"])


def test_modules_that_run_are_listed_without_being_imported(tmp_path):
    (tmp_path / "one.py").write_text(
        '"""Ours against a peer.\n\nMore."""\nimport no_such_peer\ndef run(report): ...\n'
    )
    (tmp_path / "two.py").write_text("def walk(report): ...\n")
    assert listing(tmp_path) == {"one": "Ours against a peer."}


def test_saved_reports_become_one_table_in_a_document(tmp_path, monkeypatch):
    for name, ratio in (("older", 2.0), ("newer", 3.0)):
        report = Report("speed")
        report.compare("a | b", Comparison(ours=(1.0,), peer=(ratio,)), at_least=2.5)
        monkeypatch.setattr(
            harness,
            "machine",
            lambda: {"cpus": 2, "platform": "Linux-6", "python": "3.11", "packages": {"keras": "3.15"}},
        )
        report.save(tmp_path / f"{name}.json")
    older = json.loads((tmp_path / "older.json").read_text())
    (tmp_path / "older.json").write_text(json.dumps({**older, "date": "2020-01-01T00:00:00+00:00"}))
    document = tmp_path / "page.md"
    document.write_text(f"Figures:\n\n{table.BEGIN}\n{table.END}\n\nThat is all.\n")
    arguments = ["table", *map(str, tmp_path.glob("*.json")), "--into", str(document)]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", arguments)
        table.main()
    text = document.read_text()
    assert text.startswith("Figures:")
    assert text.endswith("That is all.\n")
    assert "| `speed` | a \\| b | 1 s | 3 s | 3× | ≥ 2.5× | yes |" in text
    assert text.count("`speed`") == 2
    assert "2 cores, Linux, Python 3.11, keras 3.15." in text
    with pytest.raises(ValueError, match="want one line"):
        table.put("nothing", "new")
