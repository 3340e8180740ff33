from decimal import Decimal
from typing import Any

import pytest

from tests.servers.hubspot_server import _contact
from workflows.errors import PermanentError
from workflows.llm.offline import answer as offline
from workflows.llm.offline.answer import NOTICE, Source
from workflows.llm.offline.numbers import read_numbers
from workflows.llm.offline.prose import Passage, find_passages, most_telling
from workflows.llm.offline.tables import Table, find_tables

SALES = [
    ["Order ID", "Date", "Region", "Amount", "Discount", "Unit price"],
    ["1001", "2025-01-31", "North", "$1,200.50", "5 %", "10"],
    ["1002", "2025-02-01", "South", "$300.00", "10 %", "20"],
    ["1003", "2024-12-24", "North", "$99.50", "0 %", "30"],
    ["1007", "2025-02-02", "North", "n/a", "5 %", "40"],
]


def analyse(output: Any, description: str = "Analyze the data") -> str:
    return offline.answer("Analyze", description, "Sales", "", [Source("Fetch", output)])


def table(rows: list[list[Any]]) -> Table:
    (found,) = find_tables({"rows": rows})
    return found


class TestNumbers:
    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            (["1,234.50", "2"], ["1234.5", "2"]),
            (["1.234,50 €", "2,5 €"], ["1234.5", "2.5"]),
            (["1.234", "2,5"], ["1234", "2.5"]),
            (["1.234", "1.5"], ["1.234", "1.5"]),
            (["1,234", "5"], ["1234", "5"]),
            (["0,125"], ["0.125"]),
            (["1.234.567"], ["1234567"]),
            (["(12)", "-3", "−4"], ["-12", "-3", "-4"]),
            (["CHF 1'000", "CHF 20"], ["1000", "20"]),
            (["1 234,5"], ["1234.5"]),
            (["$-5"], ["-5"]),
            ([1, 2.5], ["1", "2.5"]),
        ],
    )
    def test_formats(self, cells: list[Any], expected: list[str]) -> None:
        numbers = read_numbers(cells)
        assert numbers is not None
        assert numbers.values == [Decimal(text) for text in expected]

    @pytest.mark.parametrize(
        "cell",
        ["007", "1.2.3", "2024-01-01", "+49 170 1234", "12 34", "abc", "", True, "1,2,3", "192.168.0.1"],
    )
    def test_no_numbers(self, cell: Any) -> None:
        assert read_numbers([cell]) is None

    def test_missing_ones_are_left_out(self) -> None:
        numbers = read_numbers(["1", "n/a", None, "3"])
        assert numbers is not None
        assert numbers.present == [1, 3]

    def test_unit(self) -> None:
        numbers = read_numbers(["3 %", "4.5%"])
        assert numbers is not None
        assert numbers.unit == "%"


class TestTables:
    def test_kinds(self) -> None:
        kinds = [column.kind for column in table(SALES).columns]
        assert kinds == ["identifier", "date", "category", "number", "number", "number"]

    def test_rows_without_header(self) -> None:
        found = table([["North", "1"], ["South", "2"]])
        assert [column.name for column in found.columns] == ["column 1", "column 2"]
        assert found.row_count == 2

    def test_records_of_a_crm(self) -> None:
        (found,) = find_tables({"contacts": [_contact(number, []) for number in range(10)], "total": 10, "next": None})
        assert {"id", "city", "annualrevenue"} <= {column.name for column in found.columns}
        assert found.row_count == 10

    def test_row_of_totals_is_left_out(self) -> None:
        found = table([["Region", "Amount"], ["North", "1"], ["South", "2"], ["Total", "3"]])
        assert (found.row_count, found.left_out) == (2, 1)
        assert found.columns[1].total == 3

    def test_decimal_comma_of_one_column_serves_the_table(self) -> None:
        found = table([["Preis", "Menge"], ["1,50", "1.000"], ["2,25", "2.000"]])
        assert found.columns[1].total == 3000

    def test_running_number_is_no_figure(self) -> None:
        found = table([["Nth", "x"], *([str(number), "5"] for number in range(1, 8))])
        assert [column.kind for column in found.columns] == ["identifier", "number"]

    def test_passages_are_no_table(self) -> None:
        assert find_tables({"results": [{"documentId": "d", "snippet": "Some words."}]}) == []


class TestFigures:
    def test_sums_and_means(self) -> None:
        text = analyse({"rows": SALES})
        assert "**4 rows, 6 columns**" in text
        assert "| Amount | 3 | 1,600.00 $ | 533.33 $ | 99.50 $ | 1,200.50 $ |" in text

    def test_shares_and_prices_are_not_summed(self) -> None:
        text = analyse({"rows": SALES})
        assert "| Discount | 4 | – | 5.00 % | 0 % | 10 % |" in text
        assert "| Unit price | 4 | – | 25.00 | 10 | 40 |" in text

    def test_dates_ids_and_categories(self) -> None:
        text = analyse({"rows": SALES})
        assert "- Order ID: 4 different values" in text
        assert "- Date: 2024-12-24 to 2025-02-02" in text
        assert "- Region: North 3 (75 %), South 1 (25 %)" in text

    def test_sums_by_category(self) -> None:
        text = analyse({"rows": SALES})
        assert "Amount by Region:" in text
        assert "| North | 3 | 1,300.00 $ |" in text

    def test_question_chooses_the_breakdown(self) -> None:
        rows = [["Region", "Color", "Amount"], *([f"r{n % 2}", f"c{n % 3}", n] for n in range(0, 60, 7))]
        first = analyse({"rows": rows}, "Sums by color").index("Amount by Color")
        assert first < analyse({"rows": rows}, "Sums by color").index("Amount by Region")

    def test_european_dates_are_ordered(self) -> None:
        rows = [["Tag"], ["15.03.2024"], ["03.02.2025"], ["28.02.2025"]]
        assert "- Tag: 15.03.2024 to 28.02.2025" in analyse({"rows": rows})


class TestProse:
    TEXT = (
        "# Contract\n\nThe supplier delivers 400 pumps to the customer by 31 March 2026. It rained.\n\n"
        "Payment for the pumps is due 30 days after delivery to the customer. Little else matters to us.\n\n"
        "The supplier delivers 400 pumps to the customer by 31 March 2026."
    )

    def test_sentences_with_their_place(self) -> None:
        results = [{"documentId": "d", "filename": "contract.pdf", "page": 2, "chunkId": "c", "snippet": self.TEXT}]
        text = analyse({"results": results}, "When are the pumps due?")
        assert "- Payment for the pumps is due 30 days after delivery to the customer. (contract.pdf, page 2)" in text

    def test_nothing_is_said_twice(self) -> None:
        said = [sentence.text for sentence in most_telling([Passage(self.TEXT)], "", 5)]
        assert len([sentence for sentence in said if "400 pumps" in sentence]) == 1

    def test_question_decides(self) -> None:
        (one,) = most_telling([Passage(self.TEXT)], "What else matters to us?", 1)
        assert one.text == "Little else matters to us."

    def test_japanese(self) -> None:
        text = "東京本社は二〇二六年三月に新しい工場を建設します。雨。大阪の倉庫は来年の四月から営業します。"
        assert len(most_telling([Passage(text)], "", 5)) == 2

    def test_html(self) -> None:
        head = "<html><head><title>x</title></head><script>var a = 1 < 2;</script>"
        page = f"{head}<p>One &amp; <b>two</b></p></html>"
        (passage,) = find_passages({"status": 200, "text": page})
        assert passage.text.strip() == "One & two"

    @pytest.mark.parametrize("evil", ["<script ", "\n", "(", "<", "a. ", "*", "1."])
    def test_hostile_text_takes_linear_time(self, evil: str) -> None:
        assert NOTICE in analyse({"text": "<p>" + evil * (400_000 // len(evil))})


class TestAnswer:
    def test_it_says_what_it_is(self) -> None:
        assert analyse({"rows": SALES}).startswith(NOTICE)

    def test_it_is_deterministic(self) -> None:
        assert analyse({"rows": SALES}) == analyse({"rows": SALES})

    def test_report_puts_the_steps_together(self) -> None:
        analysis = Source("Analyze", {"text": f"{NOTICE}\n\n# Figures\n\nAll is well."}, by_model=True)
        fetched = Source("Fetch Data", {"rows": SALES})
        text = offline.answer("Report", "Generate report", "Sales", "About sales", [fetched, analysis])
        assert text.startswith(f"# Sales\n\n{NOTICE}\n\nAbout sales\n\n## Fetch Data\n\n")
        assert "## Analyze\n\n## Figures\n\nAll is well." in text
        assert text.count(NOTICE) == 1

    def test_without_inputs(self) -> None:
        text = offline.answer("Think", "Think of a name", "W", "", [])
        assert NOTICE in text
        assert "was not carried out" in text

    def test_plain_values(self) -> None:
        assert "- chunks: 4" in analyse({"documentId": "d", "pages": 3, "chunks": 4})

    @pytest.mark.parametrize("output", [None, {}, [], "", 3, {"rows": []}, {"rows": [[]]}, {"a": {"b": []}}, [[{}]]])
    def test_empty_outputs(self, output: Any) -> None:
        assert NOTICE in analyse(output)


class TestDefaultArguments:
    def test_defaults(self) -> None:
        schema = {"properties": {"limit": {"default": 100}, "after": {"default": None}, "names": {}}}
        assert offline.default_arguments("T", schema) == {"limit": 100}

    def test_missing_ones_are_named(self) -> None:
        with pytest.raises(PermanentError, match="url") as caught:
            offline.default_arguments("HTTP_REQUEST", {"properties": {"url": {}}, "required": ["url"]})
        assert caught.value.code == "arguments_needed"
