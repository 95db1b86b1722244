"""Draw what README, guides and examples show: `python docs/pictures.py [NAME ...]`.

It draws all of it, or the pictures of some studies and examples.

study → its pictures, each as a file that needs no page around it → docs/pictures/STUDY-NUMBER.svg
example → docs/pictures/EXAMPLE.png, and its figures on the screen
"""

import re
import runpy
import sys
from html import escape
from importlib import import_module
from pathlib import Path

from partita.backend import choose
from partita.files.whole import replacing
from partita.tour.page import Picture, Study

CHOSEN = {  # of each study's pictures, from 0
    "crf": (0, 1),
    "flows": (0, 2),
    "contrast": (1,),
    "variational": (1, 2),
    "reactions": (1, 2),
    "ode": (0, 2),
    "training": (0,),
}
FOLDER = Path(__file__).parent / "pictures"
EXAMPLES = {path.stem: path for path in sorted((Path(__file__).parents[1] / "examples").glob("*.py"))}
INK, PAPER = "#1d2126", "#fdfdfb"


def standing_alone(picture: Picture) -> str:
    """Return the drawing with paper and ink of its own, and its description inside.

    Its lines are as fine as they are seen.
    """
    svg = picture.svg.replace("currentColor", INK)
    svg = re.sub(r' d="[^"]*"', lambda line: re.sub(r"(\.\d)\d+", r"\1", line[0]), svg)
    opening, _, rest = svg.partition(">")
    names = (
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'font-family="sans-serif"'
    )
    paper = f'<rect width="100%" height="100%" fill="{PAPER}"/>'
    return f"{opening} {names}><title>{escape(picture.label)}</title>{paper}{rest}\n"


def write(name: str, study: Study) -> None:
    """Write the chosen pictures of one study."""
    drawn = [block for block in study.blocks if isinstance(block, Picture)]
    for place in CHOSEN[name]:
        with replacing(FOLDER / f"{name}-{place}.svg") as beside:
            beside.write_text(standing_alone(drawn[place]), encoding="utf-8")


if __name__ == "__main__":
    choose()
    for name in sys.argv[1:] or [*CHOSEN, *EXAMPLES]:
        if name in CHOSEN:
            write(name, import_module(f"partita.tour.{name}").study())
        else:
            found = runpy.run_path(str(EXAMPLES[name]))["run"](path=FOLDER / f"{name}.png")
            print(name, *(f"{key}: {value}" for key, value in found.items()), sep="\n  ", flush=True)
