"""S3 on loopback, with the one promise of the real one that moto's server breaks when it has many threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment


class _OneMaker:
    """A conditional PUT looks whether the object is there and then makes it: on S3 that is one step."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._making = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_IF_NONE_MATCH" not in environ:
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        with self._making:
            return list(self._moto(environ, start_response))


@contextmanager
def served() -> Iterator[str]:
    """The address of a server that runs meanwhile."""
    server = make_server("127.0.0.1", 0, _OneMaker(), threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
