"""Questions in several languages find real documents among all others."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from documents.search import Question, search
from tests.support.documents import add

FILES = {
    "chinese": "sample-chinese.txt",
    "chinese-pdf": "issue-336-example.pdf",
    "japanese": "test_mskanji.csv",
    "korean": "korean-text-with-tables.pdf",
    "arabic": "sample-arabic.txt",
    "hebrew": "sample-hebrew-2.txt",
    "russian": "Docx4j_Russian.docx",
    "german": "GeoTopo-komprimiert.pdf",
    "english": "norwich-city.txt",
}
Find = Callable[[str], str]


@pytest.fixture
def find(alice: User, corpus: Path) -> Find:
    for name, filename in FILES.items():
        add(alice, (corpus / "good" / filename).read_bytes(), filename, client_id=name)
    return lambda question: next((result.document_id for result in search(alice, Question(question))), "nothing")


def test_each_is_found_by_its_language(find: Find) -> None:
    questions = {
        "維基媒體基金會": "chinese",
        "自由廣傳": "chinese",
        "建设用地": "chinese-pdf",
        "停车区用地指标": "chinese-pdf",
        "佐藤": "japanese",
        "三木英子": "japanese",
        "커피전문점": "korean",
        "보너스 포인트": "korean",
        "الإشارة": "arabic",
        "احيانا": "arabic",
        "ניבים אזוריים": "hebrew",
        "библиотека для работы": "russian",
        "загрузка входящих потоков": "russian",
        "topologischer Raum": "german",
        "Wintersemestern": "german",
        "a partnership with Craig": "english",
    }
    assert {question: find(question) for question in questions} == questions
