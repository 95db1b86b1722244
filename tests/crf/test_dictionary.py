import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from partita.crf.dictionary import LENGTHS, Dictionary
from partita.crf.lexicon import Lexicon
from partita.crf.tags import words_to_tags

WORDS = st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=5)


@given(st.lists(WORDS, min_size=1, max_size=6), st.text("abcd", max_size=15))
def test_marks_equal_a_search_for_every_word(corpus, text):
    known = {word for words in corpus for word in words if len(word) in LENGTHS}
    want = np.ones((len(text), 3), int)
    for start in range(len(text)):
        for stop in range(start, len(text) + 1):
            if text[start:stop] in known:
                for place, column in [
                    (start, 0),
                    (stop - 1, 1),
                    *((i, 2) for i in range(start + 1, stop - 1)),
                ]:
                    want[place, column] = max(want[place, column], stop - start)
    np.testing.assert_array_equal(Dictionary.fit(corpus).encode(text), want)


@given(st.lists(WORDS, min_size=2, max_size=6))
def test_a_sentence_of_the_corpus_is_marked_as_if_the_corpus_lacked_it(corpus):
    texts, tags = ["".join(words) for words in corpus], [words_to_tags(words) for words in corpus]
    ids = Lexicon.fit(texts, tags, "bmes").encode(texts[0], tags[0])
    np.testing.assert_array_equal(ids[:, -3:], Dictionary.fit(corpus[1:]).encode(texts[0]))
