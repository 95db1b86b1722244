from itertools import combinations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.crf.batches import Batches, bucket_lengths

LENGTHS = st.lists(st.integers(0, 12), min_size=1, max_size=30)


def ids_of(lengths, num_features=None):
    """Sentences whose ids tell them apart."""
    shape = () if num_features is None else (num_features,)
    return [np.full((length, *shape), number + 1) for number, length in enumerate(lengths)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=15), st.integers(1, 4), st.integers(1, 4))
def test_buckets_are_the_best_of_all(lengths, num_shapes, batch_size):
    def cells(ends):
        chosen = np.searchsorted(ends, lengths)
        return sum(-(-np.sum(chosen == i) // rows(end)) * rows(end) * end for i, end in enumerate(ends))

    def rows(length):
        return max(1, min(batch_size, 20 // length))

    found = bucket_lengths(lengths, num_shapes, rows)
    longest = max(1, *lengths)
    assert len(found) <= num_shapes
    assert found[-1] == longest
    shorter = sorted({1, *lengths} - {0, longest})
    assert cells(found) == min(
        cells([*ends, longest]) for size in range(num_shapes) for ends in combinations(shorter, size)
    )


def test_a_great_many_lengths_are_thinned_out():
    lengths = np.arange(1, 5001)
    found = bucket_lengths(lengths, 8, lambda length: 1)
    best = np.arange(1, 9) * 625  # equal parts
    padded = [np.sum(np.array(ends)[np.searchsorted(ends, lengths)]) for ends in (found, best)]
    assert padded[0] <= 1.001 * padded[1]


@given(LENGTHS, st.integers(1, 5), st.integers(1, 4), st.booleans(), st.sampled_from([None, 2]))
def test_batches_hold_every_sentence_once_in_few_shapes(
    lengths, batch_size, num_shapes, shuffle, num_features
):
    sequences = ids_of(lengths, num_features)
    tags = [np.arange(length) for length in lengths]
    batches = Batches(
        sequences,
        tags,
        batch_size,
        num_shapes,
        max_tokens=24,
        shuffle=shuffle,
        sample_weight=np.arange(len(lengths)) + 1,
    )
    for _ in range(2):
        seen, rows_of_all = [], []
        for x, y, weight in (batches[index] for index in range(len(batches))):
            assert x.shape[:2] == y.shape in batches.shapes
            assert x.dtype == y.dtype == "int32"
            assert y.shape[0] <= batch_size
            assert y.size <= 24 or y.shape[0] == 1
            for ids, names, of_sentence in zip(x, y, weight, strict=True):
                number = int(of_sentence) - 1
                rows_of_all.append(number)
                length = lengths[number] if number >= 0 else 0
                assert not np.any(ids[length:])
                assert not np.any(names[length:])
                if number >= 0:
                    seen.append(number)
                    np.testing.assert_array_equal(ids[:length], sequences[number])
                    np.testing.assert_array_equal(names[:length], tags[number])
        assert sorted(seen) == list(range(len(lengths)))
        assert batches.order.tolist() == rows_of_all
        assert len(batches.shapes) <= num_shapes
        batches.on_epoch_end()


@given(LENGTHS, st.integers(1, 5), st.integers(0, 2))
def test_predictions_come_back_in_the_order_of_the_corpus(lengths, batch_size, surplus):
    sequences = ids_of(lengths)
    batches = Batches(sequences, batch_size=batch_size, num_shapes=3, shuffle=False)
    longest = max(time for _, time in batches.shapes) + surplus
    rows = [
        np.pad(row, (0, longest - len(row)), constant_values=-1)
        for index in range(len(batches))
        for row in batches[index][0]
    ]
    for restored, ids in zip(batches.restore(np.stack(rows)), sequences, strict=True):
        np.testing.assert_array_equal(restored, ids)


def test_the_order_follows_the_seed_and_changes_with_the_epoch():
    sequences = ids_of(np.random.default_rng(0).integers(1, 30, size=200))
    first, same, other = (Batches(sequences, batch_size=8, seed=seed) for seed in (1, 1, 2))
    orders = []
    for _ in range(3):
        np.testing.assert_array_equal(first.order, same.order)
        assert first.order.tolist() != other.order.tolist()
        orders.append(first.order.tolist())
        for batches in (first, same, other):
            batches.on_epoch_end()
    assert len(set(map(tuple, orders))) == 3


def test_lengths_can_be_set_and_grow_for_longer_sentences():
    batches = Batches(ids_of([1, 3, 5, 33]), batch_size=2, lengths=[4, 8], max_tokens=64, shuffle=False)
    assert batches.shapes == [(2, 4), (2, 8), (1, 64)]


def test_a_very_long_sentence_is_a_small_batch():
    batches = Batches(ids_of([10] * 64 + [50_000]), batch_size=32, num_shapes=2)
    assert batches.shapes == [(32, 10), (1, 50_000)]


@pytest.mark.parametrize("shuffle", [True, False])
def test_keras_trains_on_all_shapes(shuffle):
    rng = np.random.default_rng(0)
    sequences = [rng.integers(1, 9, size=(length, 2)) for length in rng.integers(1, 20, size=60)]
    batches = Batches(
        sequences, [ids[:, 0] % 3 for ids in sequences], batch_size=8, num_shapes=3, shuffle=shuffle
    )
    model = keras.Sequential([keras.layers.Rescaling(0.1), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    history = model.fit(batches, epochs=2, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Batches([]), "sequences must hold at least one sentence"),
        (
            lambda: Batches(ids_of([1]), batch_size=0),
            "batch_size, num_shapes and max_tokens must be at least 1, got 0",
        ),
        (lambda: Batches(ids_of([1]), lengths=[]), "lengths must be some"),
        (lambda: Batches(ids_of([1]), lengths=[8, 4]), r"ascending and at least 1, got \[8, 4\]"),
        (lambda: Batches([[1, 2], [[1], [2]]]), r"got \(2, 1\) for sentence 2"),
        (lambda: Batches([[1, 2]], tags=[[0, 1], [2]]), "each of 1 sentences, got 2"),
        (lambda: Batches([[1, 2]], tags=[[0]]), r"tags must be \(2,\) for sentence 1, got \(1,\)"),
        (lambda: Batches([[1, 2]], sample_weight=[1.0]), "come with tags"),
        (lambda: Batches([[1, 2]], tags=[[0, 1]], sample_weight=[1.0, 2.0]), r"must be \(1,\)"),
        (lambda: Batches([[1, 2]]).restore(np.zeros((32, 2))), "shuffle=False"),
        (
            lambda: Batches([[1, 2]], batch_size=1, shuffle=False).restore(np.zeros((1, 1))),
            r"must be \(1, 2 or more, ...\), got \(1, 1\)",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
