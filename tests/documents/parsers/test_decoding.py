from pathlib import Path

import pytest

from documents.errors import WrongType
from documents.parsers.decoding import decode, encoding_of, read_text

GERMAN = "Die Prüfung der Größe ergab: zu groß für den Käufer, höchstens fünf Stück übrig. "
POLISH = "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni. "
RUSSIAN = "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом. "
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"
CZECH = "Naše společnost, která již nemá žádné závazky, podepíše smlouvu příští týden; přílohy jsou její součástí. "
FRENCH = "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison. "
HEBREW = "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון. "
ARABIC = "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا. "
CHINESE = "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。"
KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. "
ENGLISH = "All human beings are born free and equal in dignity and rights. They are endowed with reason. "


LETTERS = {
    "Russian": "Уважаемые коллеги! Направляем вам счёт на оплату насосной станции. Просим перевести деньги.",
    "Ukrainian": "Шановні колеги! Надсилаємо вам рахунок за березень. Просимо сплатити його до п'ятниці.",
    "Bulgarian": "Уважаеми колеги, изпращаме ви фактурата за месец март. Моля, платете я най-късно до петък.",
    "Serbian": "Поштоване колеге, у прилогу вам шаљемо рачун за март. Молимо вас да га платите до петка.",
    "Greek": "Αγαπητοί συνάδελφοι, επισυνάπτεται το τιμολόγιο του Μαρτίου. Παρακαλούμε πληρώστε μέχρι την Παρασκευή.",
    "Hebrew": "עמיתים יקרים, מצורפת החשבונית לחודש מרץ. נבקש לשלם עד יום שישי.",
    "Arabic": "الزملاء الأعزاء، مرفق فاتورة شهر مارس. نرجو الدفع قبل يوم الجمعة.",
    "Turkish": "Değerli meslektaşlarım, mart ayının faturasını ekte gönderiyoruz. Lütfen cuma gününe kadar ödeyiniz.",
    "Polish": "Szanowni Państwo, w załączniku przesyłamy fakturę za marzec. Prosimy o zapłatę do piątku.",
    "Czech": "Vážení kolegové, v příloze posíláme fakturu za březen. Prosíme o zaplacení do pátku, děkujeme.",
    "Hungarian": "Tisztelt Kollégák! Mellékelten küldjük a márciusi számlát. Kérjük, fizessék ki péntekig.",
    "Croatian": "Poštovani kolege, u prilogu vam šaljemo račun za ožujak. Molimo vas da ga platite do petka.",
    "Lithuanian": "Gerbiami kolegos, siunčiame jums kovo mėnesio sąskaitą. Prašome ją apmokėti iki penktadienio.",
    "German": "Liebe Kollegen, die Rechnung für März liegt bei. Bitte überweisen Sie den Betrag nächste Woche.",
    "French": "Chers collègues, vous trouverez la facture du mois passé. Elle doit être réglée avant vendredi.",
    "Spanish": "Estimados señores: les enviamos la factura del año pasado. También pedimos que la paguen más rápido.",
    "Danish": "Kære kolleger, vedlagt er fakturaen for marts. Vær så venlig at betale beløbet før næste fredag.",
    "Thai": "เรียนเพื่อนร่วมงาน แนบใบแจ้งหนี้ประจำเดือนมีนาคม กรุณาชำระเงินภายในวันศุกร์",
}
CODE_PAGES = {
    "Russian": "cp1251 koi8_r iso8859_5 cp866 cp855 mac_cyrillic",
    "Ukrainian": "cp1251 koi8_u",
    "Bulgarian": "cp1251 iso8859_5",
    "Serbian": "cp1251 iso8859_5",
    "Greek": "cp1253 iso8859_7 cp737",
    "Hebrew": "cp1255 iso8859_8 cp862",
    "Arabic": "cp1256 iso8859_6",
    "Turkish": "cp1254 iso8859_9 cp857",
    "Polish": "cp1250 iso8859_2 cp852",
    "Czech": "cp1250 iso8859_2 cp852",
    "Hungarian": "cp1250 iso8859_2 cp852",
    "Croatian": "cp1250 iso8859_2 cp852",
    "Lithuanian": "cp1257 iso8859_13 cp775",
    "German": "cp1252 cp850 cp437 mac_roman",
    "French": "cp1252 cp850 cp437 mac_roman",
    "Spanish": "cp1252 cp850 cp437 mac_roman",
    "Danish": "cp1252 cp850 cp865",
    "Thai": "cp874",
}


@pytest.mark.parametrize(
    ("language", "encoding"), [(language, name) for language, names in CODE_PAGES.items() for name in names.split()]
)
def test_a_short_letter_in_its_code_page(language: str, encoding: str) -> None:
    assert decode(LETTERS[language].encode(encoding)) == LETTERS[language]


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        (("café", "“quoted”", "Straße"), "cp1252"),
        (("naïve", "£500", "20°C", "and so on…"), "cp1252"),
        (("Größe", "Übersicht", "März"), "cp850"),
        (("señor", "Köln", "Größe"), "cp437"),
        (("Łódź", "Wałęsa", "Kraków"), "cp1250"),
        (("Łódź", "Dvořák", "Škoda"), "iso8859_2"),
        (("счёт", "Москва", "договор"), "cp1251"),
        (("Отчёт", "Москва", "договор"), "koi8_r"),
        (("τιμολόγιο", "Αθήνα"), "cp1253"),
        (("فاتورة", "الرياض"), "cp1256"),
        (("請求書", "東京"), "cp932"),
        (("发票", "北京", "公司"), "gb18030"),
    ],
)
def test_a_few_words_in_an_english_text(words: tuple[str, ...], encoding: str) -> None:
    text = "".join(f"The invoice from {word} was paid in time, and all of the goods have arrived.\n" for word in words)
    assert decode(text.encode(encoding)) == text


def test_the_first_accent_is_far_behind_the_beginning() -> None:
    text = ENGLISH * 10_000 + POLISH
    assert decode(text.encode("cp1250")) == text


def test_a_long_line_without_blanks_takes_no_time() -> None:
    text = "x" * 2_000_000 + "größer"
    assert decode(text.encode("cp1252")) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "utf-8"),
        (GERMAN, "utf-8-sig"),
        (GERMAN, "utf-16"),
        (ENGLISH, "utf-16-le"),
        (ENGLISH, "utf-16-be"),
        (ENGLISH, "utf-32"),
        (ENGLISH, "utf-32-be"),
        (ENGLISH * 5, "cp037"),
        (GERMAN, "cp1252"),
        (GERMAN * 20, "cp1252"),
        (POLISH * 20, "cp1250"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN * 20, "koi8_r"),
        (CZECH, "cp1250"),
        (CZECH, "iso8859_2"),
        (HEBREW, "cp1255"),
        (ARABIC, "cp1256"),
        (ARABIC, "iso8859_6"),
        (GERMAN, "mac_roman"),
        (FRENCH, "mac_roman"),
        (CHINESE, "gb18030"),
        (CHINESE, "utf-16-le"),
        (KOREAN, "euc_kr"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (KOREAN, "iso2022_kr"),
        (KOREAN, "johab"),
    ],
)
def test_text_comes_back(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_damaged_character_does_not_change_the_encoding() -> None:
    assert encoding_of((GERMAN * 5).encode() + b"\xff") == "utf-8"


def test_a_text_that_was_padded() -> None:
    assert decode(GERMAN.encode() * 5 + bytes(30)) == GERMAN * 5 + "\0" * 30


@pytest.mark.parametrize("data", [bytes(range(256)) * 20, b"\x00\x01\x02\x03" * 500])
def test_junk_is_no_text(data: bytes) -> None:
    assert decode(data) is None


def test_line_ends_become_newlines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\ntwo\rthree\n")
    assert read_text(path) == "one\ntwo\nthree\n"


def test_a_file_of_junk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(WrongType):
        read_text(path)


@pytest.mark.parametrize(
    ("text", "encoding", "declared"),
    [
        ("短", "shift_jis", "Shift_JIS"),
        ("龍门", "gb18030", "gb2312"),  # a character that only the successor has
        ("größe", "utf-8", "iso-8859-1"),  # a lie
        ("Größe", "utf-8-sig", "windows-1251"),
        ("да", "koi8_r", "KOI8-R"),
        ("größe", "cp1252", "no-such-charset"),
        ("plain", "ascii", "utf-16"),
        ("größe", "cp1252", "utf-8"),
    ],
)
def test_a_declared_encoding_counts_unless_it_is_wrong(text: str, encoding: str, declared: str) -> None:
    assert decode(text.encode(encoding), declared) == text
