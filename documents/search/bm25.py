"""The BM25 score, in two halves: the impact of a term in a chunk, and the weight of the term in the question.

    score = sum over the question's terms of  idf(term) · impact(term, chunk)
    idf     = ln(1 + (N - n + 0.5) / (n + 0.5))
    impact  = tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / average length))

N is the number of chunks, n the number of chunks with the term, tf how often the term occurs in the chunk.
The impact does not depend on the question, so it is stored when the chunk is indexed (see `full_text_index`).
The average length changes as chunks are added. So a chunk's score is corrected by how far the average has moved since:

    correction = (1 + k1 · (1 - b + b · length / average then)) / (1 + k1 · (1 - b + b · length / average now))

which is exact for terms that occur once in the chunk, as most do.

See Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
"""

import math

K1 = 1.5
B = 0.75
MAX_IMPACT = K1 + 1
"""An upper bound: every impact is smaller."""


def idf(count: float, total: float) -> float:
    """The inverse document frequency of a term that `count` of `total` chunks have. It is never negative."""
    return math.log(1 + (max(total - count, 0) + 0.5) / (count + 0.5))


def length_factor(length: int, average: float) -> float:
    """The part of an impact's denominator that depends on the chunk's length only."""
    return K1 * (1 - B + B * length / average)


def impact(frequency: int, length_factor: float) -> float:
    """The impact of a term that occurs `frequency` times in a chunk with this length factor."""
    return frequency * (K1 + 1) / (frequency + length_factor)


_FIXED, _SLOPE = 1 + K1 * (1 - B), K1 * B
CORRECTION = (
    f"(({_FIXED}::float8 + {_SLOPE}::float8 * {{row}}.length / {{row}}.average)"
    f" / ({_FIXED}::float8 + {_SLOPE}::float8 / {{now}} * {{row}}.length))"
)
"""The correction of a row's score as SQL. `now` is the average length. In floats: PostgreSQL's numerics are slow."""
