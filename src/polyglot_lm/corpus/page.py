"""One web page: bytes in, main text out, in a process of its own that may be killed.

The parser is C++ that no Python exception can interrupt, and the web holds every page that ever hung or crashed one. So
pages are extracted by a child process: it has so many seconds of processor time for a page (not of the clock's: a busy machine
must not lose pages) and so much memory; when it dies, that page is refused and another child begins. A page costs two messages
over a socket, little beside some milliseconds of extraction.

Extractor: resiliparse, 17 times as fast as trafilatura (12.8 against 0.74 MB of HTML per CPU second on 120 pages of software
documentation). Extractors keep different pages, yet models trained on what passes a fixed filter score alike, and resiliparse
keeps tables and code better (Li et al. 2026, arXiv 2602.19548; DCLM, arXiv 2406.11794, chose it too).
"""

import codecs
import re
import resource
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any

from polyglot_lm.pipeline import UserError

CHILD_BYTES = 2 << 30  # address space of the child: a DOM takes about 20 times its page
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})|<\?xml[^>]{0,100}?encoding=[\"']([\w.:-]{2,40})", re.I
)
META_BYTES = 4096  # browsers look at 1,024
# What a page calls itself is often the small ancestor of what it is written in; the same choice as the WHATWG encoding standard
WIDER = {
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "tis-620": "cp874",
    "iso8859-11": "cp874",
    "iso8859-9": "cp1254",
}
MAX_REPLACED_SHARE = 0.01  # of characters that a charset cannot decode; more, and it is the wrong one


class PageError(Exception):
    """A page that holds no text we can read, and why."""


class Extractor:
    """A child process that extracts pages one after another; another is started where one died."""

    def __init__(self, max_page_seconds: float) -> None:
        self.max_page_seconds = max_page_seconds
        self.child: subprocess.Popen[bytes] | None = None
        self.connection: Connection | None = None

    def __enter__(self) -> "Extractor":
        check_installed()
        return self

    def __exit__(self, *failure: Any) -> None:
        self.stop()

    def extract(self, body: bytes, charset: str | None) -> str:
        """Return the main text of a page, empty where it has none; raises PageError when it cannot be had."""
        if self.connection is None:
            self.start()
        assert self.connection is not None
        try:
            self.connection.send_bytes((charset or "").encode(errors="replace") + b"\0" + body)
            answer = self.connection.recv_bytes()
        except (EOFError, OSError):
            raise PageError(self.last_words()) from None
        if answer[:1] == b"E":
            raise PageError(answer[1:].decode())
        return answer[1:].decode()

    def start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "polyglot_lm.corpus.page", str(theirs.fileno()), str(self.max_page_seconds)]
            self.child = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        self.connection = Connection(ours.detach())

    def stop(self) -> int:
        """End the child and return its status, negative for a signal."""
        if self.child is None or self.connection is None:
            return 0
        self.connection.close()  # which the child reads as the end
        status = self.child.wait()
        self.child = self.connection = None
        return status

    def last_words(self) -> str:
        status = self.stop()
        if status == -signal.SIGPROF:
            return f"extraction took over {self.max_page_seconds:g} s"
        return f"extraction ended with {signal.Signals(-status).name if status < 0 else status}"


def check_installed() -> None:
    try:
        import fastwarc  # noqa: F401
        import resiliparse  # noqa: F401
    except ImportError as error:
        raise UserError("web archives need the 'fastwarc' and 'resiliparse' packages; install polyglot-lm[web]") from error


def serve(descriptor: int, max_page_seconds: float) -> None:
    """Answer pages until the other end is closed; dies of SIGPROF in a page that takes too long."""
    import resiliparse.extract.html2text  # noqa: F401  # before the first page's time begins

    connection = Connection(descriptor)
    while True:
        try:
            charset, _, body = connection.recv_bytes().partition(b"\0")
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, max_page_seconds)
        try:
            answer = b"T" + main_text(body, charset.decode() or None).encode(errors="replace")
        except (PageError, MemoryError, ValueError, RuntimeError) as error:
            answer = b"E" + (str(error).splitlines() or [type(error).__name__])[0].encode(errors="replace")
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send_bytes(answer)


def main_text(body: bytes, charset: str | None) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(decode_page(body, charset), main_content=True, preserve_formatting=True, alt_texts=False)).strip()


def decode_page(body: bytes, charset: str | None) -> str:
    """Decode as a browser would, but let the bytes have the last word; raises PageError when no charset fits.

    Order: a byte order mark; UTF-8 where it fits without a fault (other charsets do not by chance); the server's word; the page's
    own; what the bytes look like.
    """
    for mark, utf in BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(utf, "replace")
    if b"\x1b$" not in body and b"\x1b(" not in body:  # ISO-2022-JP is seven-bit, and so valid UTF-8
        try:
            return body.decode()
        except UnicodeDecodeError:
            pass
    found = META_CHARSET.search(body[:META_BYTES])
    own = (found[1] or found[2]).decode() if found else None
    for name in (charset, own, detected(body)):
        text = decoded(body, name) if name else None
        if text is not None:
            return text
    raise PageError(f"no charset fits (the server says {charset}, the page {own})")


def decoded(body: bytes, name: str) -> str | None:
    """Decode by a charset's wider form; None when it is unknown or does not fit."""
    try:
        known = codecs.lookup(name).name
        text = body.decode(WIDER.get(known, known), "replace")
    except (LookupError, UnicodeError):
        return None
    return text if text.count("\ufffd") <= MAX_REPLACED_SHARE * len(text) else None


def detected(body: bytes) -> str | None:
    from resiliparse.parse.encoding import detect_encoding

    found = detect_encoding(body, from_html_meta=False, html5_compatible=False)  # compatible, it calls cp949 UTF-8 (2.0.1)
    return str(found) if found else None


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (CHILD_BYTES, CHILD_BYTES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which closes the socket
    serve(int(sys.argv[1]), float(sys.argv[2]))
