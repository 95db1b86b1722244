"""`python -m benchmarks` lists the benchmarks, `python -m benchmarks NAME` runs one and prints its table."""

import argparse
import ast
from importlib import import_module
from pathlib import Path

from benchmarks.harness import Report


def listing(folder: Path) -> dict[str, str]:
    """Return name and first docstring line of every module with a `run` function.

    None is imported, so no peer need be installed.
    """
    found = {}
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main() -> None:
    """Read the command line; list or run."""
    benchmarks = listing(Path(__file__).parent)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "name",
        nargs="?",
        choices=benchmarks,
        metavar="NAME",
        help="the benchmark to run; without it, the list",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help="write the figures, the day and the machine here too"
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="pairs of measurements, instead of the benchmark's own number"
    )
    asked = parser.parse_args()
    if asked.name is None:
        for name, summary in benchmarks.items():
            print(f"{name:<20} {summary}")
        return
    report = Report(asked.name, rounds=asked.rounds)
    import_module(f"benchmarks.{asked.name}").run(report)
    print(report.table())
    if asked.out:
        report.save(asked.out)


if __name__ == "__main__":
    main()
