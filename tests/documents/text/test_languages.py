"""Words of many languages and scripts: detected, cut, folded, stemmed, found."""

import time

import pytest
from django.contrib.auth.models import User

from documents.models import Document
from documents.search import Question, search
from documents.text.folding import fold
from documents.text.languages import SAMPLE_WORDS, language_of, latin_language
from documents.text.stems import stems_of
from documents.text.words import is_paired, pairs, words
from tests.support.documents import add

TEXTS = {
    "english": "The committee has approved the budget, and it will be published by the end of this year.",
    "german": "Der Ausschuss hat den Haushalt gebilligt, und er wird bis zum Ende des Jahres veröffentlicht werden.",
    "french": "Le comité a approuvé les budgets développés par les élus, qui sont publiés dans une revue.",
    "spanish": "El comité ha aprobado las administraciones que se publican en la revista de los vecinos.",
    "portuguese": "O comité aprovou as administrações que não são publicadas na revista dos vizinhos.",
    "italian": "Il comitato ha approvato le nazioni che sono pubblicate nella rivista della città.",
    "dutch": "Het comité heeft de begroting goedgekeurd en die wordt voor het einde van het jaar gepubliceerd.",
    "swedish": "Utskottet har godkänt budgeten och den ska publiceras för alla som inte var med i landet.",
    "finnish": "Valiokunta on hyväksynyt talousarvion ja se oli julkaistu niin kuin hän on sanonut, mutta ei tänään.",
    "turkish": "Komisyon bütçeyi onayladı ve bu yıl için bir dergide yayınlanacak, ama daha sonra değil.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_language_is_detected_by_its_stop_words(language: str) -> None:
    assert latin_language(words(TEXTS[language])) == language


def test_the_first_pages_decide_the_language() -> None:
    first = [TEXTS["german"]] * SAMPLE_WORDS
    assert language_of([*first, *[TEXTS["english"]] * (2 * SAMPLE_WORDS)]) == "german"


@pytest.mark.parametrize("text", ["", "4711 0815", "Report", "Все люди", "人人生而自由", "x y z " * 100])
def test_unclear_languages(text: str) -> None:
    assert latin_language(words(text)) == ""


def test_plain_words_are_cut_as_all_others() -> None:
    """Words of plain ASCII text are the same as in a text with another character."""
    text = "".join(f"Ab{chr(first)}{chr(second)}9 " for first in range(128) for second in range(128))
    assert words(text) == words(text + "ж")[:-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Straße", ["strasse"]),
        ("новый Ёлка їжак", ["новый", "елка", "їжак"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("أحرارًا", ["احرارا"]),
        ("שָׁלוֹם", ["שלום"]),
        ("２０２４ ﬁne", ["2024", "fine"]),
        ("データ2024年", ["データ", "2024", "年"]),
        ("a" * 300, ["a" * 100]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("自由民主", ["自由", "由民", "民主", "主"]),
        ("字", ["字"]),
        ("인간은", ["인간", "간은", "은"]),
        ("ทุกคน", ["ทุก", "กค", "คน", "น"]),
        ("が", ["が"]),
    ],
)
def test_pairs(run: str, expected: list[str]) -> None:
    assert is_paired(fold(run))
    assert pairs(fold(run)) == expected


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("german", "Häuser", "Haus"),
        ("german", "Ubergrossen", "Übergröße"),
        ("french", "développées", "développer"),
        ("french", "developpee", "développée"),
        ("spanish", "administraciones", "administracion"),
        ("portuguese", "administrações", "administracao"),
        ("italian", "nazioni", "nazione"),
        ("turkish", "kitapların", "kitaplar"),
        ("turkish", "yılları", "yil"),
        ("english", "свободный", "свободными"),
        ("", "الكتاب", "كتاب"),
        ("english", "άνθρωποι", "ανθρωπος"),
        ("english", "2024", "2024"),
    ],
)
def test_forms_of_a_word_have_one_stem(language: str, one: str, other: str) -> None:
    first, second = fold(one), fold(other)
    stems = stems_of([first, second], language)
    assert stems[first] == stems[second]


@pytest.mark.parametrize(
    ("language", "question"),
    [
        ("english", "approve budgets"),
        ("german", "Ausschüsse"),
        ("german", "Haushalts"),
        ("french", "budget développé"),
        ("spanish", "administracion de vecinos"),
        ("portuguese", "administração"),
        ("italian", "nazione"),
        ("dutch", "begrotingen"),
        ("finnish", "valiokunnan talousarvio"),
    ],
)
def test_a_question_finds_documents_of_any_language(alice: User, language: str, question: str) -> None:
    for name, text in TEXTS.items():
        add(alice, text, client_id=name)
    assert Document.objects.get(client_id=language).language == language
    assert search(alice, Question(question))[0].document_id == language


@pytest.mark.parametrize(
    ("text", "question", "marked"),
    [
        ("人人生而自由，在尊严和权利上一律平等。", "自由", "自由"),
        ("人人生而自由，在尊严和权利上一律平等。", "权利平等", "权利"),
        ("人人生而自由，在尊严和权利上一律平等。", "严", "严"),
        ("すべての人間は、生まれながらにして自由であり", "人間は自由", "人間は"),
        ("데이터베이스는 정보의 모음이다", "데이터베이스", "데이터베이스"),
        ("모든 인간은 태어날 때부터 자유로우며", "인간", "인간"),
        ("มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาค", "อิสระ", "อิสระ"),
        ("सभी मनुष्यों को गौरव और अधिकारों", "मनुष्य", "मनुष्यों"),
        ("يولد جميع الناس أحرارًا متساوين", "للناس", "الناس"),
        ("Все люди рождаются свободными", "свободный", "свободными"),
    ],
)
def test_other_scripts(alice: User, text: str, question: str, marked: str) -> None:
    add(alice, text, client_id="doc")
    add(alice, "世界人権宣言は Something else: 전문 ประเทศ другое", client_id="other")
    found = search(alice, Question(question))
    assert found[0].document_id == "doc"
    snippet = found[0].snippet
    assert marked in [snippet.text[start:end] for start, end in snippet.marks]


def test_a_phrase_of_pairs(alice: User) -> None:
    add(alice, "自由と民主", client_id="apart")
    add(alice, "自由民主党", client_id="together")
    assert [result.document_id for result in search(alice, Question('"自由民主"'))] == ["together"]
    assert [result.document_id for result in search(alice, Question("自由 -民主党"))] == ["apart"]
    assert search(alice, Question("自由民主"))[0].document_id == "together"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Résumé e\u0301 x\u0338", "resume e x"),
        ("ΟΔΟΣ Straße İzmir", "οδοσ strasse izmir"),
        ("Й и\u0306 Ꭳꭳ", "й й ᎣᎣ"),
        ("“ＡＢＣ” ﬁne" + 9 * "é", "“abc” fine" + 9 * "e"),
    ],
)
def test_what_a_text_is_folded_to(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_a_text_without_blanks_takes_linear_time() -> None:
    start = time.process_time()
    words("<0a1b2c3d4e5f" * 20_000 + "\n".join(f"x{number}" for number in range(20_000)))
    assert time.process_time() - start < 10
