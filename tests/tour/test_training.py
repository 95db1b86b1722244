"""The study of wrong labels, short: mixtures are nearer to linear, and centres draw classes together."""

import numpy as np
import pytest

from partita.tour.page import page

pytest.importorskip("sklearn")


def test_what_the_study_finds():
    from partita.tour.training import study

    made = study(seed=1, seeds=1, epochs=12)
    numbers = made.numbers
    assert numbers["mixup"]["gap"][0] < numbers["plain"]["gap"][0]
    assert min(np.mean(numbers[kind]["accuracy"]) for kind in ("plain", "SamplePairing", "mixup")) > 0.6
    assert numbers["scatter"]["with"] < numbers["scatter"]["without"]
    html = page("A tour", "Introduction.", {"training": (made, 1.0)}, "Footer.")
    assert html.count("<svg") == 2
    assert "A preference for straight lines" in html
