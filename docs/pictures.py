"""`python docs/pictures.py` draws what README and guides show: pictures of the tour, each as a file that needs no page around it.

study → its pictures → docs/pictures/STUDY-NUMBER.svg
"""

import re
from html import escape
from importlib import import_module
from pathlib import Path

from partita.backend import choose
from partita.files import replacing
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
INK, PAPER = "#1d2126", "#fdfdfb"


def standing_alone(picture: Picture) -> str:
    """The drawing with paper and ink of its own, its lines as fine as they are seen, and its description inside."""
    svg = picture.svg.replace("currentColor", INK)
    svg = re.sub(r' d="[^"]*"', lambda line: re.sub(r"(\.\d)\d+", r"\1", line[0]), svg)
    opening, _, rest = svg.partition(">")
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" font-family="sans-serif"'
    paper = f'<rect width="100%" height="100%" fill="{PAPER}"/>'
    return f"{opening} {names}><title>{escape(picture.label)}</title>{paper}{rest}\n"


def write(name: str, study: Study, folder: Path) -> None:
    """Write the chosen pictures of one study."""
    drawn = [block for block in study.blocks if isinstance(block, Picture)]
    for place in CHOSEN[name]:
        with replacing(folder / f"{name}-{place}.svg") as beside:
            beside.write_text(standing_alone(drawn[place]), encoding="utf-8")


if __name__ == "__main__":
    choose()
    for name in CHOSEN:
        write(name, import_module(f"partita.tour.{name}").study(), Path(__file__).parent / "pictures")
