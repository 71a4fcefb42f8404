"""Serves moto on a free port of loopback and prints its URL.

Serves one request at a time, because moto's conditional writes are not atomic between the threads of its own server.
"""

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app))
print(f"http://127.0.0.1:{server.port}", flush=True)
server.serve_forever()
