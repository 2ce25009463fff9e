"""Small files of every format, made on the spot."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

__all__ = ["docx_bytes", "pdf_bytes", "zip_bytes"]


def pdf_bytes(pages: Sequence[str], *, outline: Sequence[tuple[str, int]] = (), title: str = "") -> bytes:
    """Write a minimal PDF: a page for each string, its lines in Helvetica; outline of (title, page index)."""
    objects: list[bytes] = [b"", b""]  # the catalog and the page tree come last
    kids = []
    for text in pages:
        lines = (
            text.encode("cp1252")
            .replace(b"\\", rb"\\")
            .replace(b"(", rb"\(")
            .replace(b")", rb"\)")
            .split(b"\n")
        )
        body = (
            b"BT /F1 11 Tf 14 TL 72 740 Td " + b" T* ".join(b"(" + line + b") Tj" for line in lines) + b" ET"
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(body), body))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R /Resources << /Font"
            b" << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding"
            b" >> >> >> >>" % len(objects)
        )
        kids.append(len(objects))
    catalog = b"<< /Type /Catalog /Pages 2 0 R >>"
    if outline:
        root = len(objects) + 1
        objects.append(b"<< /Type /Outlines /First %d 0 R /Last %d 0 R >>" % (root + 1, root + len(outline)))
        for index, (name, page) in enumerate(outline):
            following = b"/Next %d 0 R " % (root + index + 2) if index + 1 < len(outline) else b""
            objects.append(
                b"<< /Title (%s) /Parent %d 0 R %s/Dest [%d 0 R /Fit] >>"
                % (name.encode("cp1252"), root, following, kids[page])
            )
        catalog = b"<< /Type /Catalog /Pages 2 0 R /Outlines %d 0 R >>" % root
    objects[0] = catalog
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        len(kids),
        b" ".join(b"%d 0 R" % kid for kid in kids),
    )
    info = len(objects) + 1
    objects.append(
        b"<< /Title (%s) /Author (A. Writer) /CreationDate (D:20240131120000Z) >>" % title.encode()
    )
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        info,
        table,
    )
    return bytes(out)


def docx_bytes() -> bytes:
    """Write a DOCX with a title, headings, a list and a table."""
    import docx

    document = docx.Document()
    document.core_properties.author = "A. Writer"
    document.add_heading("Returns policy", 0)
    document.add_paragraph("Everything about returns.")
    document.add_heading("Deadlines", 1)
    document.add_paragraph("Goods may be returned within thirty days.")
    document.add_paragraph("unused", style="List Bullet")
    document.add_paragraph("in the original box", style="List Bullet")
    document.add_heading("Fees", 2)
    table = document.add_table(rows=0, cols=3)
    for row in (("Item", "Fee", "Waived"), ("Laptop", "25 EUR", "no"), ("Cable", "2 EUR", "yes")):
        cells = table.add_row().cells
        for cell, text in zip(cells, row, strict=True):
            cell.text = text
    document.add_paragraph("After the table.")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def zip_bytes(members: dict[str, bytes]) -> bytes:
    """Write a deflated zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()
