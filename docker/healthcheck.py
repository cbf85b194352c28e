"""Exits 0 when the service in this container is ready: the container's HEALTHCHECK."""

import os
import sys
from http.client import HTTPConnection

try:
    connection = HTTPConnection("127.0.0.1", int(os.environ.get("KINEMA_PORT", "8000")), timeout=4)
    connection.request("GET", "/readyz")
    response = connection.getresponse()
    print(response.status, response.read(2000).decode())
except OSError as error:
    sys.exit(f"no answer: {error}")
sys.exit(response.status != 200)
