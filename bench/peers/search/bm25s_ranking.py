"""Ranks with bm25s and its defaults: reads `{"texts", "questions"}` as JSON, prints the best 100 indexes for each."""

import json
import sys

import bm25s
import Stemmer

DEPTH = 100


def main() -> None:
    given = json.load(sys.stdin)
    stemmer = Stemmer.Stemmer("english")

    def tokens(texts: list[str]) -> object:
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)

    ranker = bm25s.BM25()
    ranker.index(tokens(given["texts"]), show_progress=False)
    places, _ = ranker.retrieve(tokens(given["questions"]), k=DEPTH, show_progress=False)
    json.dump([[int(place) for place in row] for row in places], sys.stdout)


if __name__ == "__main__":
    main()
