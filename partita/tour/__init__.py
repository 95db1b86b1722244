"""The guided tour: short studies on real input, and one page that shows what they measured.

each study → words, tables, pictures, numbers → index.html and numbers.json
"""

import json
import platform
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from partita import __version__
from partita.backend import choose
from partita.extras import need
from partita.files.whole import replacing
from partita.tour.page import Study, page

STUDIES = (
    "crf",
    "flows",
    "contrast",
    "variational",
    "reactions",
    "ode",
    "training",
)  # in the order of the page, each a file
TITLE = "A tour of partita"
INTRODUCTION = """A model that scores instead of normalising, p(x) = exp(G(x)) / Z, leaves one question: what
happens to the sum Z? Each part of partita is one answer, and each study on this page shows one part at work.
Every number here was measured when the page was made, on the machine that made it, from real input."""


def run(
    only: Sequence[str] | None = None,
    out: Path = Path("tour"),
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> Path:
    """Run the studies and write `index.html`, which needs no other file and no network, and `numbers.json`.

    Args:
        only: Names out of `STUDIES`; all if None or empty.
        out: Folder for the two files; made if it is not there.
        seed: Of all that is drawn at random.
        report: Called with a line of text as each study begins and ends.

    Returns:
        The path of the page.

    Raises:
        ValueError: if a name is unknown.
        ImportError: if Matplotlib is missing.

    Example:
        >>> run(only=["cfr"])
        Traceback (most recent call last):
        ValueError: only must name studies out of crf, flows, contrast, variational, reactions, ode, training;
        got cfr
    """
    unknown = [name for name in only or () if name not in STUDIES]
    if unknown:
        raise ValueError(f"only must name studies out of {', '.join(STUDIES)}; got {', '.join(unknown)}")
    needs_digits = not {"flows", "training"}.isdisjoint(only or STUDIES)
    for package in ("matplotlib", "jinja2", *(["sklearn"] if needs_digits else [])):
        need(package, "the tour")
    choose()
    out = Path(out)
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        return _run(only, out, seed, report)
    except BaseException:
        if is_new and not any(out.iterdir()):
            out.rmdir()
        raise


def _run(only: Sequence[str] | None, out: Path, seed: int, report: Callable[[str], None]) -> Path:
    studies: dict[str, tuple[Study, float]] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for name in STUDIES:
        if only and name not in only:
            continue
        report(f"{name}: started")
        began = perf_counter()
        study = import_module(f"partita.tour.{name}").study(seed)
        seconds = perf_counter() - began
        studies[name] = study, seconds
        numbers[name] = {"seconds": round(seconds, 1), **study.numbers}
        report(f"{name}: {study.title}, {seconds:.0f} s")
    python, machine = platform.python_version(), f"{platform.system()} {platform.machine()}"
    made_by = {"partita": __version__, "python": python, "machine": machine, "seed": seed}
    figures = json.dumps({**made_by, "studies": numbers}, indent=1, allow_nan=False) + "\n"
    footer = f"Made by partita {__version__} with seed {seed}, on Python {python}, {machine}."
    html = page(TITLE, INTRODUCTION, studies, footer)
    for name, text in (("numbers.json", figures), ("index.html", html)):
        with replacing(out / name) as beside:
            beside.write_text(text, encoding="utf-8")
    return out / "index.html"
