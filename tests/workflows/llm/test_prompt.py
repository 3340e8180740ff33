import re

from workflows.llm import tokenizer
from workflows.llm.prompt import ModelTask, StepInput, build, rendered, shares

LONG = "".join(f"Line {number} of a text that goes on for long.\n" for number in range(5000))


def task(*inputs: StepInput) -> ModelTask:
    return ModelTask("Analyze", "Analyze the data", "Sales", "About sales", "You sell.", inputs=inputs)


class TestBuild:
    def test_everything_is_there(self) -> None:
        prompt = build(task(StepInput("Fetch", "HTTP_REQUEST", {"status": 200, "json": [{"a": 1}]})), 100_000)
        system, user = prompt.messages
        assert system["content"].startswith("You sell.")
        (nonce,) = set(re.findall(r"<data ([0-9a-f]{16})>", system["content"]))
        assert user["content"] == (
            "Workflow: Sales\n\nAbout sales\n\nResults of the steps before this one:\n\n"
            f'## Fetch (HTTP_REQUEST)\n\n<data {nonce}>\nstatus: 200\njson:\n{{"a":1}}\n</data {nonce}>\n\n'
            "# Your step: Analyze\n\nAnalyze the data"
        )
        assert prompt.warnings == []

    def test_vocabulary_is_not_loaded_for_short_ones(self) -> None:
        tokenizer.encoding.cache_clear()
        build(task(StepInput("Fetch", None, {"text": "short", "finishReason": "stop"})), 100_000)
        assert tokenizer.encoding.cache_info().currsize == 0

    def test_long_results_are_cut_and_it_is_said(self) -> None:
        prompt = build(task(StepInput("Read", "DOCUMENT_READ", {"text": LONG}), StepInput("Two", None, "tiny")), 4000)
        user = prompt.messages[1]["content"]
        assert tokenizer.count(user) < 3000
        assert "tiny" in user
        (warning,) = prompt.warnings
        assert warning.startswith("Read: cut from 64,")
        assert "tokens]" in user

    def test_no_room_at_all(self) -> None:
        prompt = build(task(StepInput("Read", "DOCUMENT_READ", {"text": LONG})), 10)
        assert "to 0 tokens" in prompt.warnings[0]


class TestShares:
    def test_small_ones_stay_whole(self) -> None:
        assert shares([10, 1000, 500], 610) == [10, 300, 300]

    def test_enough_for_all(self) -> None:
        assert shares([10, 20], 100) == [10, 20]

    def test_nothing(self) -> None:
        assert shares([], 10) == []


class TestRendered:
    def test_answer_of_a_model_is_its_text(self) -> None:
        assert rendered({"text": "Hi", "model": "m", "finishReason": "stop", "sources": []}) == "Hi"

    def test_document(self) -> None:
        output = {"documentId": "d", "filename": "a.txt", "text": "One.\nTwo.", "page": None}
        assert rendered(output) == "documentId: d\nfilename: a.txt\ntext: One.\nTwo."

    def test_rows(self) -> None:
        assert rendered({"rows": [["a", "b"], ["1", "ü"]]}) == 'rows:\n["a","b"]\n["1","ü"]'


class TestTokens:
    def test_cut_keeps_characters_whole(self) -> None:
        for limit in range(1, 12):
            assert "\ufffd" not in tokenizer.cut("🧿ሀ日本語" * 5, limit)

    def test_cut_ends_at_a_line(self) -> None:
        assert tokenizer.cut(LONG, 1000).endswith("for long.")

    def test_count_of_long_text(self) -> None:
        assert abs(tokenizer.count(LONG * 4) - 4 * tokenizer.count(LONG)) < 1000

    def test_estimate_is_no_less(self) -> None:
        for text in (LONG, "Größe und Übermaß der Häuser. " * 50, "東京本社は新しい工場を建設します。" * 50):
            assert tokenizer.estimate(text) >= tokenizer.count(text)
