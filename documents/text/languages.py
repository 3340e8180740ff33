"""Detects the language of a text in Latin letters by its stop words, and lists the stop words of each language.

Languages have the names of PostgreSQL's snowball stemmers, which every PostgreSQL from 14 on has. Other scripts need no
detection: each has one stemmer or none.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from documents.text.words import words

ENGLISH = "english"
SAMPLE_WORDS = 5000
MIN_HITS = 3
MIN_DIFFERENT_HITS = 2
MIN_SHARE = 0.08
"""The least share of stop words. Prose has 20 to 50 %, lists and tables have almost none."""

# The most common words of each language, folded like `words.fold` does.
_STOP_WORDS = {
    "basque": "eta da bat ez du dira ere hau zen dute baina izan egin den beste duen zuen dela gure edo",
    "catalan": "el la els les de i que en un una del per amb es no al dels son mes com pel ha aquest seva ser tambe",
    "danish": "og at det er en til af pa de for med der den ikke som et har var jeg om han kan fra blev skal ved hun",
    "dutch": "de het een van en in is dat op te voor met zijn niet aan er om ook als maar bij nog uit naar wordt door",
    "english": "the of and a to in is that for it with as was on be at by this are from or have an not which but they",
    "finnish": "ja on ei se etta oli han mutta ovat kun niin myos joka tai hanen ole mita jos sen olla kuin ollut",
    "french": "le la les des et un une du dans est que qui pour par sur au plus ce pas avec sont il ne se aux cette",
    "german": "der die und das den von zu mit ist im des sich nicht ein eine auf dem als auch wird fur es werden aus",
    "hungarian": "a az es hogy nem is egy volt meg ez de csak mint van mar azt ki vagy lehet szerint kell minden",
    "indonesian": "yang dan di dengan untuk dari pada ini itu tidak dalam akan adalah ke oleh juga atau sebagai telah",
    "irish": "an agus na a ar le go i is do bhi nach ag leis sin ta air bhfuil se mar cheart chun",
    "italian": "il di che e la in un per del con non una sono della le dei alla da si gli nel al piu anche dalla come",
    "lithuanian": "ir kad yra i is su ne buvo bet kaip apie ar tai o jo nuo del per kurie turi buti savo",
    "norwegian": "og i det er pa til en av for at som med ikke den de har var jeg om et fra han kan seg ble skal etter",
    "portuguese": "o a os as de que e do da em um uma para com nao dos das no na por mais se ao como mas foi pelo sua",
    "romanian": "si de in la cu pe o nu un din care ca sa este pentru mai sau se al prin sunt fi dar au fost lui",
    "spanish": "el la los las de que y en un una del por con para se es no su al lo como mas pero sus este fue ha",
    "swedish": "och att det som en pa ar av for med den till inte har de om ett var jag sig fran kan nar ska eller",
    "turkish": "ve bir bu da de icin ile olarak cok daha olan gibi kadar sonra ne var ama o her degil ancak en",
}

# More words that are common in questions but do not name their subject.
_QUESTION_WORDS = {
    ENGLISH: "about all am any been being can did do does doing had has he her here him his how i if into its itself"
    " may me more most must my no nor of off once only other our out over own she should so some such than their them"
    " then there these those through too under until up upon very we were what when where who whom why will would"
    " you your s t",
    "french": "comment quel quelle quels quelles quand ou pourquoi",
    "german": "wie was wer wo wann warum welche welcher welches sind war bei um an am zum zur",
    "italian": "quale quali quando dove perche chi cosa",
    "portuguese": "qual quais quando onde porque quem",
    "spanish": "cual cuales cuando donde quien que",
}


def language_of(pages: Iterable[str]) -> str:
    """Returns the language of the first words of these texts, or "" if it is unclear."""
    found: list[str] = []
    for page in pages:
        found += words(page)
        if len(found) >= SAMPLE_WORDS:
            break
    return latin_language(found)


def latin_language(words: Sequence[str]) -> str:
    """Returns the language of these folded words, or "" if it is unclear."""
    found = words[:SAMPLE_WORDS]
    hits: Counter[str] = Counter()
    different: Counter[str] = Counter()
    for word, count in Counter(found).items():
        for language in _languages_of().get(word, ()):
            hits[language] += count
            different[language] += 1
    if not hits:
        return ""
    language, count = hits.most_common(1)[0]
    is_sure = count >= MIN_HITS and different[language] >= MIN_DIFFERENT_HITS and count >= MIN_SHARE * len(found)
    return language if is_sure else ""


@cache
def stop_words(language: str) -> frozenset[str]:
    """Returns the words of a language that say nothing about a question's subject."""
    return frozenset(f"{_STOP_WORDS.get(language, '')} {_QUESTION_WORDS.get(language, '')}".split())


def is_known(language: str) -> bool:
    return language in _STOP_WORDS


@cache
def _languages_of() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for language, text in _STOP_WORDS.items():
        for word in text.split():
            found.setdefault(word, []).append(language)
    return found
