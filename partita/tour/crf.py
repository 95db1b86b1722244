"""Study of `partita.crf`: restore the spaces of English prose.

It shows what the sum over all sequences of tags is good for.
"""

from itertools import accumulate
from typing import Any, Literal

import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

from partita import crf
from partita.tour import spaces
from partita.tour.page import BLUE, GREY, ORANGE, Block, Formula, Lines, Piece, Study, Table, Words, picture
from partita.tour.prose import gather
from partita.tour.spaces import Answers, Data

SHOWN = 4  # sentences of a kind


def study(seed: int = 0, num_sentences: int = 6000, epochs: int = 4) -> Study:
    """Train both networks on docstrings of the standard library, and compare them.

    They are compared on modules that neither has seen.

    Args:
        seed: Draws the modules, the first weights, the order of training and the sentences shown.
        num_sentences: Sentences to gather; about a sixth of them are for the test.
        epochs: Times that each network sees the training sentences.

    Raises:
        ValueError: if that leaves no sentence to learn from or none to test with.
    """
    modules = gather(num_sentences, seed)
    test_modules, test, train = spaces.hold_out(modules, num_sentences // 6)
    if not (test and train):
        expected = "num_sentences must be enough to learn from some and test with others"
        raise ValueError(f"{expected}, got {num_sentences}.")
    lexicon = crf.Lexicon.fit(map("".join, train), map(crf.words_to_tags, train), scheme="bmes")
    data = Data(train, test, lexicon, seed, epochs)
    softmax = spaces.train_softmax(data)
    chained, layer, scores = spaces.train_crf(data)
    numbers: dict[str, Any] = {
        "backend": keras.backend.backend(),
        "modules": {"train": len(modules) - test_modules, "test": test_modules},
        "sentences": {"train": len(train), "test": len(test)},
        "characters": {"train": _count_characters(train), "test": _count_characters(test)},
        "softmax": spaces.measure(data, softmax),
        "crf": spaces.measure(data, chained),
        "f1_difference": spaces.difference(data, softmax, chained),
        "log_partition": spaces.log_partition_twice(layer, scores[:1, :8]),
        **{
            name: np.float64(ops.convert_to_numpy(getattr(layer, name))).round(3).tolist()
            for name in ("transitions", "start", "end")
        },
    }
    generator = np.random.default_rng(seed)
    blocks = [
        *_question(data, numbers),
        *_results(data, numbers),
        *_learned(data, numbers),
        *_illegal(data, softmax, chained, generator),
        *_restored(data, chained, generator),
        *_calibration(data, softmax, chained),
    ]
    return Study("Restore the spaces of English prose", blocks, numbers)


def _question(data: Data, numbers: dict[str, Any]) -> list[Block]:
    example = min(data.test, key=lambda words: len("".join(words)))
    modules, sentences, characters, sums = (
        numbers[key] for key in ("modules", "sentences", "characters", "log_partition")
    )
    longest = max(len("".join(words)) for words in data.test)
    return [
        Words(
            f"""Take the spaces out of a sentence and ask where they were. The sentences are those of the
            docstrings of the Python standard library that made this page: {sentences["train"]:,} sentences of
            {modules["train"]} modules to learn from ({characters["train"]:,} characters),
            {sentences["test"]:,} of {modules["test"]} other modules for the test. A hash of its name decides
            where a module goes, and no sentence occurs twice.

            Each character gets one of four tags: `s` is a word by itself, `b` begins a word, `m` is inside
            and `e` ends it. Punctuation belongs to the word that it touches."""
        ),
        Lines([[Piece("".join(example))], [Piece("".join(crf.words_to_tags(example)))]], aligned=True),
        Words(
            f"""Of the 16 pairs of tags, 8 cannot be neighbours in any text: after `b`, say, only `m` or `e`
            can come.

            A small network of three convolutions looks at each character, at three on either side of it and
            at the words of the training text that can be read there, and gives each tag k at each place t a
            score h_{{t}}[k]. It is trained twice, from the same first weights, on the same batches in the
            same order, {data.epochs} times through the text. (A training sentence is shown as if its own rare
            words were new, or the network would trust the words too much.)"""
        ),
        Words(
            "The softmax treats the tags of a sentence as so many separate choices, each among four.",
            "Two ways to normalise",
        ),
        Formula("P(y|x) = Π_{t} exp(h_{t}[y_{t}]) / Σ_{k} exp(h_{t}[k])"),
        Words(
            """The linear-chain conditional random field (CRF) treats them as a single choice of the whole
            sequence. It adds a trained score g for each pair of neighbours, and one for the first tag and for
            the last."""
        ),
        Formula("P(y|x) = exp(start[y_{1}] + Σ_{t} h_{t}[y_{t}] + Σ_{t} g[y_{t}, y_{t+1}] + end[y_{T}]) / Z"),
        Words(
            f"""Z is the sum of that numerator over all 4^{{T}} sequences of T tags, the illegal ones
            included: {_power_of_ten(longest)} terms for a sentence of {longest} characters. It is summed
            exactly. What comes after a tag does not depend on what came before it, so four running sums, one
            for each tag, carried from character to character, hold everything. To see that nothing is lost,
            take the first 8 characters of one test sentence: log Z is {sums["one_by_one"]:.4f} when its
            {sums["paths"]:,} sequences are added one by one, {sums["by_recursion"]:.4f} by the recursion."""
        ),
    ]


def _results(data: Data, numbers: dict[str, Any]) -> list[Block]:
    columns = numbers["softmax"], numbers["crf"]
    names = {
        "precision": "Precision: right words among the words given",
        "recall": "Recall: right words among the true words",
        "f1": "F1, their harmonic mean",
        "recall_of_new_words": "Recall of words that the training text lacks",
        "flawless": "Sentences without a mistake",
        "illegal": "Sentences with an illegal sequence of tags",
    }
    rows = [[name, *(f"{100 * column[key]:.1f}%" for column in columns)] for key, name in names.items()]
    seconds = [f"{column['seconds']:.0f} s" for column in columns]
    rows.append(["Training and tagging, compilation included", *seconds])
    gain, error = numbers["f1_difference"]["f1"], numbers["f1_difference"]["standard_error"]
    verdict = "within twice its error, which chance alone often gives"
    if abs(gain) > 2 * error:
        verdict = "more than twice its error"
    softmax, chained = columns
    return [
        Table(
            ["", "softmax", "CRF"],
            rows,
            f"{len(data.test):,} test sentences, {sum(map(len, data.test)):,} words. A word is right if "
            f"both its ends are.",
        ),
        Words(
            f"""The CRF's F1 less the softmax's is {_signed(100 * gain)} points, with a standard error of
            {100 * error:.2f} from drawing the test sentences anew: {verdict}. Other modules and other first
            weights, those of another seed, move it as well.

            As for the tags themselves, {100 * softmax["illegal"]:.1f}% of the softmax's sentences hold some
            that no text has, such as a word that begins and never ends, and a rule must turn these into words
            all the same: cut before every `b` and `s` and after every `e` and `s`. Of the CRF's sentences
            {100 * chained["illegal"]:.1f}% do."""
        ),
    ]


def _learned(data: Data, numbers: dict[str, Any]) -> list[Block]:
    tags = data.lexicon.tag_names
    scores, allowed = np.full((5, 5), np.nan), np.zeros((5, 5), bool)  # (start and tags, tags and end)
    learned = [numbers[key] for key in ("transitions", "start", "end")]
    for grid, parts in ((scores, learned), (allowed, crf.legal(tags, "bmes"))):
        grid[1:, :4], grid[0, :4], grid[1:, 4] = parts

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot(aspect="equal")
        limit = 1.7 * np.nanmax(np.abs(scores))
        axes.pcolormesh(np.arange(6) - 0.5, np.arange(6) - 0.5, scores, cmap="RdBu", vmin=-limit, vmax=limit)
        for row, column in np.argwhere(~np.isnan(scores)):
            axes.text(column, row, _signed(scores[row, column]), ha="center", va="center", color="#111111")
            if not allowed[row, column]:
                corners = np.array([[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]]) * 0.42
                axes.plot(column + corners[0], row + corners[1], "--", color="#111111", linewidth=0.9)
        axes.set_xticks(range(5), [*tags, "end"])
        axes.set_yticks(range(5), ["start", *tags])
        axes.invert_yaxis()
        axes.set(xlabel="this tag", ylabel="the tag before")
        axes.xaxis.set_label_position("top")
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.spines[:].set_visible(False)

    def span(values: np.ndarray) -> str:
        return f"{_signed(values.min())} to {_signed(values.max())}"

    inner = np.s_[1:, :4]
    label = "; ".join(
        f"{before} before {tag} {_signed(g)}"
        for before, row in zip(tags, numbers["transitions"], strict=True)
        for tag, g in zip(tags, row, strict=True)
    )
    return [
        Words(
            f"""These are the 24 numbers that the CRF has and the softmax lacks. All are zero at first, and
            learn ten times as fast as the other weights. Nobody told the CRF which pairs are legal (`CRF(4,
            constraints=...)` would have, and would have given the others probability zero); it only saw text.
            Its scores of legal pairs are {span(scores[inner][allowed[inner]])}, those of illegal pairs
            {span(scores[inner][~allowed[inner]])}. Only differences count: the same number added to all 16
            changes the scores of all sequences of a length alike, and Z with them.""",
            "What the CRF learned",
        ),
        picture(
            draw,
            (4.2, 3.7),
            f"Table of the learned scores: {label}",
            "Learned scores g from the row's tag to the column's, and of the first and the last tag. "
            "Dashed: no text has this pair.",
        ),
    ]


def _illegal(data: Data, softmax: Answers, chained: Answers, generator: np.random.Generator) -> list[Block]:
    breaks = [_breaks(tags, data.lexicon) for tags in softmax.tags]
    broken = [number for number, places in enumerate(breaks) if places]
    if not broken:
        return []
    passages = []
    for number in generator.permutation(broken)[:3]:
        text = "".join(data.test[number])
        first = max(0, min(breaks[number][0] - 12, len(text) - 24))
        window = slice(first, first + 24)
        marked = {place - back for place in breaks[number] for back in (0, 1)}
        rows = {"text": text, "true": crf.words_to_tags(data.test[number]), "CRF": chained.tags[number]}
        lines = [[Piece(f"{name:8}{''.join(row[window])}")] for name, row in rows.items()]
        lines.append([Piece("softmax ")])
        for place, tag in [*enumerate(softmax.tags[number])][window]:
            lines[-1].append(Piece(tag, mark="extra" if place in marked else ""))
        passages.append(Lines(lines, aligned=True))
    words = """Passages drawn at random from the sentences for which the softmax gives an illegal sequence.
    Marked: tags that cannot be neighbours. Each is a likely choice by itself; that they exclude each other is
    what separate choices cannot take into account."""
    return [Words(words, "What an illegal sequence looks like"), *passages]


def _breaks(tags, lexicon):
    """Return the places t where tag t − 1 and tag t cannot be neighbours.

    The place is 0 for a first tag and T for a last tag that cannot be.
    """
    legal, ids = lexicon.constraints, lexicon.encode_tags(tags, repair=False)
    fits = [legal.start[ids[0]], *legal.transitions[ids[:-1], ids[1:]], legal.end[ids[-1]]]
    return [place for place, fit in enumerate(fits) if not fit]


def _restored(data: Data, chained: Answers, generator: np.random.Generator) -> list[Block]:
    flawless: list[list[Piece]] = []
    flawed: list[list[Piece]] = []
    for number in generator.permutation(len(data.test)):
        gold, words = data.test[number], chained.words[number]
        same_kind = flawless if gold == words else flawed
        same_kind.append([*_pieces(gold, words, chained.spaces[number])])
    legend = [
        (Piece("", 0.2, ".90"), "rather sure"),
        (Piece("", 1.0, ".50"), "in doubt"),
        (Piece("", 0.6, ".70", "extra"), "a space too many"),
        (Piece("", 0.6, ".30", "missing"), "a space missed"),
    ]

    return [
        Words(
            """Each gap between two characters has a probability that a space belongs there: the share in Z of
            all the sequences of tags in which the character before the gap is `s` or `e`. The same recursion,
            run from both ends, gives it for all gaps at once. Where it lies between 0.05 and 0.95, and at
            mistakes, it is written into the gap, before the space if the CRF put one; the shade is the
            stronger, the nearer it is to one half.""",
            "Restored sentences, and how sure the CRF is",
        ),
        Words("Drawn at random from the sentences without a mistake:"),
        Lines(flawless[:SHOWN]),
        Words("Drawn at random from those with mistakes:"),
        Lines(flawed[:SHOWN], legend),
    ]


def _pieces(gold, words, probabilities):
    """Yield the text as restored, with the probability of a space in some of the gaps.

    Those are the gaps where it is not near 0 or 1, and the mistakes.
    """
    true, given = {*accumulate(map(len, gold))}, {*accumulate(map(len, words))}
    for end, (character, p) in enumerate(zip("".join(gold), probabilities, strict=True), 1):
        yield Piece(character)
        mark: Literal["", "extra", "missing"] = ""
        if (end in given) != (end in true):
            mark = "extra" if end in given else "missing"
        if mark or 0.05 < p < 0.95:
            yield Piece("", shade=2 * min(p, 1 - p), note=f"{p:.2f}".lstrip("0"), mark=mark)
        if end in given:
            yield Piece(" ")


def _calibration(data: Data, softmax: Answers, chained: Answers) -> list[Block]:
    true = np.concatenate([_ends(words)[:-1] for words in data.test])  # (gaps,) the end of a sentence is none

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot(aspect="equal")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
        styles = {"softmax": (softmax, ORANGE, "s"), "CRF": (chained, BLUE, "o")}
        for name, (answers, color, marker) in styles.items():
            p = np.concatenate([row[:-1] for row in answers.spaces])  # (gaps,)
            bins = np.minimum((10 * p).astype(int), 9)
            count = np.maximum(np.bincount(bins, minlength=10), 1)
            means = [np.bincount(bins, weights, minlength=10) / count for weights in (p, true)]
            said, found = np.array(means)[:, count > 9]
            axes.plot(said, found, color=color, marker=marker, markersize=5, label=name)
        axes.set(xlabel="probability of a space, as given", ylabel="share that are spaces")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.legend()

    return [
        Words(
            f"""Of the gaps given a probability of about 0.7, do seven in ten hold a space? The {len(true):,}
            gaps of the test, sorted into ten groups by their probability, answer for both networks. Above the
            diagonal there are more spaces than the network expects, below it fewer.""",
            "What the confidence is worth",
        ),
        picture(
            draw,
            (4.2, 3.9),
            "Share of gaps that are spaces against the probability given, for softmax and CRF, beside the "
            "diagonal.",
            "Each point is a group of ten gaps or more. Softmax: the sum of its probabilities of s and e.",
        ),
    ]


def _count_characters(sentences):
    return sum(len(word) for words in sentences for word in words)


def _signed(value):
    return f"{value:+.2f}".replace("-", "−")


def _ends(words):
    """Whether a word ends with each character, (time,)."""
    return np.isin(np.arange(1, sum(map(len, words)) + 1), [*accumulate(map(len, words))])


def _power_of_ten(length):
    """4 to the power of a length, as the text of about 3 · 10^{24}."""
    exponent = length * np.log10(4)
    return f"{10 ** (exponent % 1):.1f} · 10^{{{int(exponent)}}}"
