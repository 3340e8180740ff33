"""Vectors: written after the full text, replaced while search goes on, mixed into its ranking."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from documents.models import ChunkVector, Document, EmbeddingModel
from documents.reading import ingest
from documents.search import (
    Question,
    activate_if_complete,
    catch_up,
    configured_model,
    embed_document,
    embeddings,
    search,
)
from documents.search.ranking import Hit
from documents.search.vector_index import WrongDimensions, mix_rankings, write
from documents.storage import stored_files
from documents.tools import DocumentEmbed, DocumentIngest, EmbedArguments, IngestArguments
from tests.servers.model_server import ModelServer, Reply
from tests.support.documents import add, context_for, index, run_child, upload
from workflows.errors import NotConfigured, TryLater
from workflows.models import ExecutionStatus, WorkflowExecution, WorkflowStep

TEXT = "\n\n".join(f"Passage {number} tells of the harvest and of nothing else at all." for number in range(40))
Configure = Callable[..., None]


@pytest.fixture
def configure(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    monkeypatch.setattr(embeddings, "_paused_until", 0.0)
    embeddings._question_vector.cache_clear()

    def change(**values: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update=values)

    yield change
    embeddings._question_vector.cache_clear()


@pytest.fixture
def server(configure: Configure) -> Iterator[ModelServer]:
    with ModelServer() as server:
        configure(openai_base_url=server.base_url, openai_api_key="", embedding_model="embed-64")
        yield server


def embed(document: Document) -> int:
    model = configured_model()
    assert model is not None
    written = embed_document(document.pk, model)
    activate_if_complete(model)
    return written


def embedded(user: User, text: str, **options: Any) -> Document:
    document = add(user, text, **options)
    embed(document)
    return document


def find(user: User, text: str, **filters: Any) -> list[str]:
    return [result.document_id for result in search(user, Question(text, **filters))]


def test_it_works(alice: User, server: ModelServer) -> None:
    document = embedded(alice, "My car is red.", client_id="car")
    embedded(alice, "A house by the sea.", client_id="house")
    assert find(alice, "vehicle")[0] == "car"
    document.refresh_from_db()
    model = EmbeddingModel.objects.get()
    assert (model.name, model.dimensions, model.is_active) == ("embed-64", 64, True)
    assert (document.embedded_by, document.embedded_generation) == (model, 1)
    assert ChunkVector.objects.filter(document=document).count() == document.chunk_count


def test_the_lexical_hit_and_the_near_one_are_both_found(alice: User, server: ModelServer) -> None:
    embedded(alice, "This automobile is quick.", client_id="near")
    embedded(alice, "The word vehicle stands here, with many others that are about cheese.", client_id="lexical")
    embedded(alice, "Nothing but the weather.", client_id="other")
    assert set(find(alice, "vehicle")[:2]) == {"near", "lexical"}


def test_the_model_gets_the_beginning_of_a_long_question(alice: User, server: ModelServer) -> None:
    embedded(alice, "My car is red.", client_id="car")
    assert find(alice, "vehicle " * 1_200) == ["car"]
    (given,) = server.requests[-1]["body"]["input"]
    assert 1_000 <= len(given) <= 2_000


def test_without_a_model_nothing_is_asked(alice: User, configure: Configure) -> None:
    configure(embedding_model="")
    document = add(alice, "My car is red.")
    assert configured_model() is None
    assert catch_up() == 0
    assert find(alice, "vehicle") == []
    assert document.embedded_by is None
    with pytest.raises(NotConfigured):
        DocumentEmbed().check_configured()


def test_a_provider_that_is_down_costs_the_vectors_alone(alice: User, server: ModelServer) -> None:
    embedded(alice, "My car is red.", client_id="car")
    server.script += [Reply(status=503)]
    assert find(alice, "car red") == ["car"]
    asked = len(server.requests)
    assert find(alice, "red car") == ["car"]  # the provider is not asked again for a while
    assert len(server.requests) == asked


def test_filters_do_not_thin_the_results_out(
    alice: User, bob: User, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        embedded(bob, f"car car car number {number}")
        embedded(alice, f"car car car number {number}", project_id="many", client_id=f"many{number}")
    for number in range(12):
        embedded(alice, f"one car among so many other words, {number}", project_id="few", client_id=f"few{number}")
    found = find(alice, "automobile", project_id="few", limit=10)
    assert len(found) == 10
    # Also by the index, which returns the other 60 first.
    monkeypatch.setattr("documents.search.vector_index.MAX_EXACT_NUMBERS", 0)
    assert set(find(alice, "automobile", project_id="few", limit=12)) == {f"few{number}" for number in range(12)}


def test_the_index_finds_the_nearest_of_many_vectors(
    alice: User, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded(alice, "My car is red.", client_id="car")
    monkeypatch.setattr("documents.search.vector_index.MAX_EXACT_NUMBERS", 0)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        assert find(alice, "vehicle") == ["car"]
        cursor.execute(
            "SELECT sum(pg_stat_get_xact_numscans(oid)) FROM pg_class WHERE relkind = 'i' AND relname LIKE %s",
            ["%\\_hnsw"],
        )
        assert cursor.fetchone() == (1,)


def test_of_few_numbers_each_vector_is_compared(
    alice: User, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More chunks than full-text search scores, and fewer than the vector index is worth."""
    embedded(alice, "My car is red.", client_id="car")
    monkeypatch.setattr("documents.search.ranking.MAX_SCORED_SCOPE", 0)
    with CaptureQueriesContext(connection) as queries:
        assert find(alice, "vehicle") == ["car"]
    assert any("ORDER BY 0 + " in query["sql"] for query in queries)


def test_phrases_and_exclusions_hold(alice: User, server: ModelServer) -> None:
    embedded(alice, "the red car of my aunt", client_id="red")
    embedded(alice, "the car is red", client_id="apart")
    embedded(alice, "the automobile is a vehicle", client_id="near")
    assert find(alice, '"red car"') == ["red"]
    assert find(alice, "car -aunt") == ["apart"]


def test_only_the_present_generation_is_found(alice: User, server: ModelServer) -> None:
    document = embedded(alice, TEXT, client_id="doc")
    index(alice, document, chunk_size=50, overlap=0)
    assert not ChunkVector.objects.filter(document=document).exists()
    assert find(alice, "harvest")
    embed(document)
    document.refresh_from_db()
    assert ChunkVector.objects.filter(document=document, generation=2).count() == document.chunk_count
    assert find(alice, "harvest")


def test_nobody_elses(alice: User, bob: User, charlie: User, server: ModelServer) -> None:
    document = embedded(alice, "My car is red.", client_id="car")
    assert find(bob, "vehicle") == []
    assert find(charlie, "vehicle") == []
    assert len(find(charlie, "vehicle", document_id=str(document.uid))) == 1


def test_a_deleted_document_leaves_no_vectors(alice: User, server: ModelServer) -> None:
    document = embedded(alice, "My car is red.")
    WorkflowStep.objects.update(status="completed")
    document.refresh_from_db()
    stored_files.delete(document, alice)
    assert not ChunkVector.objects.exists()


class TestAnotherModel:
    def test_search_goes_on_with_the_old_one_until_all_have_the_new(
        self, alice: User, server: ModelServer, configure: Configure
    ) -> None:
        documents = [embedded(alice, text, client_id=text[:3]) for text in ("car in red", "sea and sun")]
        configure(embedding_model="embed-32")
        embed(documents[0])
        old, new = EmbeddingModel.objects.order_by("pk")
        assert (old.is_active, new.is_active, new.dimensions) == (True, False, 32)
        assert find(alice, "vehicle")[0] == "car"
        assert server.requests[-1]["body"]["model"] == "embed-64"
        embed(documents[1])
        assert [model.name for model in EmbeddingModel.objects.all()] == ["embed-32"]
        assert ChunkVector.objects.count() == 2
        embeddings._question_vector.cache_clear()
        assert find(alice, "vehicle")[0] == "car"
        assert server.requests[-1]["body"]["model"] == "embed-32"
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", [f"document_vectors_{old.pk}"])
            assert cursor.fetchone() == (None,)

    def test_a_search_that_met_the_old_one_goes_on_without(
        self, alice: User, server: ModelServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        embedded(alice, "My car is red.", client_id="car")
        gone = EmbeddingModel(pk=999_999, name="gone", dimensions=64)
        question = embeddings.EmbeddedQuestion(gone, (1.0,) * 64)
        monkeypatch.setattr("documents.search.hybrid_search.embed_question", lambda text: question)
        assert find(alice, "car") == ["car"]

    def test_one_of_the_same_name_with_other_dimensions(self, alice: User, server: ModelServer) -> None:
        document = embedded(alice, "My car is red.")
        with pytest.raises(WrongDimensions):
            write(EmbeddingModel.objects.get(), document.pk, alice.pk, 1, {1: [1.0, 2.0]})
        embeddings.embed_question("x")
        EmbeddingModel.objects.update(dimensions=32)
        assert find(alice, "car")


class TestCatchingUp:
    def test_a_job_of_each_owner(self, alice: User, bob: User, server: ModelServer) -> None:
        for user in (alice, alice, bob):
            add(user, "My car is red.")
        assert catch_up() == 2
        jobs = WorkflowExecution.objects.filter(job_type="document-embed")
        assert {(job.owner.username, job.name, job.queue) for job in jobs} == {
            ("alice", "Embed 2 documents with embed-64", "low"),
            ("bob", "Embed 1 document with embed-64", "low"),
        }
        assert catch_up() == 0

    def test_its_steps_embed(self, alice: User, server: ModelServer) -> None:
        documents = [add(alice, f"{text} and more", client_id=text) for text in ("car", "sea")]
        catch_up()
        step = WorkflowStep.objects.get(tool="DOCUMENT_EMBED")
        told: list[Any] = []
        context = context_for(alice, step, report=lambda *report: told.append(report))
        stored_files.delete(documents[1], alice)
        output = DocumentEmbed().run(context, EmbedArguments.model_validate(step.arguments))
        assert output == {"documents": 2, "passages": 1}
        assert told == [(0, "document 1 of 2"), (50, "document 2 of 2")]
        assert find(alice, "vehicle") == ["car"]
        assert DocumentEmbed().run(context, EmbedArguments.model_validate(step.arguments))["passages"] == 0

    def test_a_busy_provider_is_waited_for(self, alice: User, server: ModelServer) -> None:
        document = add(alice, "My car is red.")
        server.script.append(Reply(status=429, headers={"retry-after": "7"}))
        arguments = EmbedArguments.model_validate({"documentIds": [str(document.pk)]})
        with pytest.raises(TryLater) as error:
            DocumentEmbed().run(context_for(alice), arguments)
        assert error.value.delay == 7

    def test_after_a_failure_it_rests(self, alice: User, server: ModelServer) -> None:
        add(alice, "My car is red.")
        catch_up()
        jobs = WorkflowExecution.objects.filter(job_type="document-embed")
        jobs.update(status=ExecutionStatus.FAILED, finished_at=timezone.now())
        assert catch_up() == 0
        jobs.update(finished_at=timezone.now() - timedelta(hours=1))
        assert catch_up() == 1

    def test_a_passage_that_is_refused_is_left_out(self, alice: User, server: ModelServer) -> None:
        document = add(alice, "x" * 900, client_id="doc")
        refused = {"message": "no", "code": "content_filter"}
        server.script += [Reply(status=400, error=refused)] * 2
        assert embed(document) == 0
        document.refresh_from_db()
        assert document.embedded_generation == 1
        assert catch_up() == 0

    def test_a_passage_that_is_too_long_is_cut(self, alice: User, server: ModelServer) -> None:
        document = add(alice, "car " * 400)
        server.script.append(Reply(status=400, error={"message": "maximum context length is 256 tokens"}))
        assert embed(document) == 1
        sent = [len(request["body"]["input"][0]) for request in server.requests]
        assert sent[1] == sent[0] // 2

    def test_the_command(self, alice: User, server: ModelServer, configure: Configure) -> None:
        document = embedded(alice, "My car is red.")
        call_command("reembed", afresh=True)
        assert not ChunkVector.objects.exists()
        assert WorkflowExecution.objects.filter(job_type="document-embed").count() == 1
        embed(document)
        assert ChunkVector.objects.count() == 1
        configure(embedding_model="")
        with pytest.raises(CommandError):
            call_command("reembed")


@pytest.fixture
def threads(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replaces each pool by one thread, whose connection is closed after the test."""
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as embedders:
        monkeypatch.setattr(ingest, "_beginners", pool)
        monkeypatch.setattr(ingest, "_writers", pool)
        monkeypatch.setattr(ingest, "_embedders", embedders)
        yield
        for executor in (pool, embedders):
            executor.submit(connections.close_all).result()


@pytest.mark.usefixtures("threads")
class TestReading:
    def run(self, alice: User) -> Any:
        upload(alice, TEXT, client_id="doc")
        context = context_for(alice, run_child=run_child)
        arguments = IngestArguments.model_validate({"documentId": "doc", "chunkSize": 50, "overlap": 0})
        return asyncio.run(DocumentIngest().run(context, arguments))

    def test_the_same_step_embeds(self, alice: User, server: ModelServer) -> None:
        output = self.run(alice)
        assert output.keys() == {"documentId", "pages", "words", "chunks"}
        assert ChunkVector.objects.count() == output["chunks"] > 5
        assert EmbeddingModel.objects.get().is_active

    def test_a_failing_provider_does_not_fail_it(self, alice: User, server: ModelServer) -> None:
        server.script.append(Reply(status=500))
        self.run(alice)
        assert Document.objects.get().status == "indexed"
        assert not ChunkVector.objects.exists()
        assert find(alice, "harvest")


def test_rankings_are_mixed_by_their_spread() -> None:
    by_text = [Hit(1, Document().uid, 8.0), Hit(2, Document().uid, 4.0)]
    by_vector = [Hit(2, Document().uid, 0.9), Hit(3, Document().uid, 0.45)]
    mixed = mix_rankings(by_text, by_vector)
    assert [(hit.chunk_id, round(hit.score, 3)) for hit in mixed] == [
        (2, 0.7),
        (1, 0.6),
        (3, 0.2),
    ]
