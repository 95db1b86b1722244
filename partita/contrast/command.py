"""`partita embed`: vectors of the words of a text of any size.

corpus → stream of ids → SkipGram → vectors.bin
"""

import os
from pathlib import Path
from typing import Any

import click

from partita.cli.options import SEED, FiniteRange, count, say
from partita.contrast.skipgram import SkipGram
from partita.contrast.tokens import KINDS


def _new_file(context: click.Context, parameter: click.Parameter, path: Path) -> Path:
    if not path.parent.is_dir():
        raise click.BadParameter(f"folder '{path.parent}' does not exist.")
    if not os.access(path.parent, os.W_OK):
        raise click.BadParameter(f"folder '{path.parent}' cannot be written to.")
    return path


@click.command(
    epilog="Example: partita embed corpus.txt --out vectors.bin --near king",
    context_settings={"show_default": True},
)
@click.argument("corpus", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    callback=_new_file,
    help="*.bin and any other name: word2vec's binary and text formats. *.npz: all that is known.",
)
@click.option(
    "--tokens",
    type=click.Choice(KINDS),
    default="words",
    help="words: small letters, without punctuation. whitespace: as they stand, for text cut into words. "
    "characters: each by itself.",
)
@click.option("--dim", type=count(4096), default=100, help="Length of a vector.")
@click.option("--window", type=count(1000), default=5, help="Words on either side, at most.")
@click.option("--negatives", type=count(10_000), default=5, help="Words of noise for each side of a window.")
@click.option("--min-count", type=count(), default=5, help="Rarer words are left out.")
@click.option(
    "--sample", type=FiniteRange(min=0), default=1e-3, help="Share above which a word is thinned out."
)
@click.option("--epochs", type=count(), default=5)
@click.option("--learning-rate", type=FiniteRange(min=0, min_open=True), default=0.025)
@click.option(
    "--threads", type=count(1024), default=1, help="With one, the same seed gives the same vectors."
)
@click.option("--seed", type=SEED, default=0)
@click.option(
    "--near",
    multiple=True,
    metavar="WORD",
    help="Print the words nearest to this one. May be given several times.",
)
def embed(corpus: Path, out: Path, tokens: str, near: tuple[str, ...], **settings: Any) -> None:
    """Make vectors of the words of CORPUS, by skip-gram with negative sampling.

    CORPUS has one sentence a line; it may be packed as .gz, and larger than memory. Chinese and other text
    without spaces is cut into words first, by `partita tag apply`, and read with --tokens whitespace.
    """
    vectors = SkipGram(**settings).fit(corpus, progress=True, tokens=tokens)
    vectors.save(out)
    say(f"{len(vectors)} word{'' if len(vectors) == 1 else 's'}: {out}", err=True)
    for asked in near:
        word = asked if asked in vectors else asked.lower()
        if word in vectors:
            nearest = ", ".join(f"{other} {cosine:.2f}" for other, cosine in vectors.most_similar(word))
            say(f"{word}: {nearest}")
        else:
            say(f"{asked}: not in the corpus")
