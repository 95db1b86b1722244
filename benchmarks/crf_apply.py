"""Characters a second of `partita tag apply`, from a file to a file.

The whole command is timed, its start and compilation included.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import keras

from benchmarks.corpora import peoples_daily
from benchmarks.harness import Report
from partita import crf
from partita.crf.command import recipe


def run(report: Report) -> None:
    """The text of People's Daily once and three times over; untrained weights cut as fast as trained ones."""
    train, test = peoples_daily()
    lexicon = crf.Lexicon.fit(
        ["".join(words) for words in train], [crf.words_to_tags(words) for words in train], "bmes"
    )
    tagger = recipe(lexicon, "cnn", 128, 1)
    tagger.build((None, None, len(lexicon.columns)))
    text = "".join("".join(words) + "\n" for words in [*train, *test])
    with TemporaryDirectory() as folder:
        model, source = Path(folder, "model.keras"), Path(folder, "text.txt")
        keras.saving.save_model(tagger, model)
        for times in (1, 3):
            source.write_text(text * times, encoding="utf-8")
            command = [
                Path(sys.executable).with_name("partita"),
                "tag",
                "apply",
                model,
                source,
                "--out",
                Path(folder, "cut.txt"),
            ]
            seconds = []
            for _ in range(report.rounds or 3):
                start = perf_counter()
                subprocess.run(command, check=True)
                seconds.append(perf_counter() - start)
            rate = times * len(text) / sorted(seconds)[len(seconds) // 2]
            report.measure(
                f"applying to {times * len(text) / 1e6:.1f} million characters",
                rate,
                unit="characters/s",
                at_least=200_000,
            )
