"""Writes small PDF files from their objects."""


def pdf_file(objects: dict[int, bytes]) -> bytes:
    data, table = b"%PDF-1.7\n", b"xref\n"
    for number, item in objects.items():
        table += b"%d 1\n%010d 00000 n \n" % (number, len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    end = b"trailer\n<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (max(objects) + 1, len(data))
    return data + table + end


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<<%s/Length %d>>\nstream\n%s\nendstream" % (entries, len(data), data)
