"""An S3 of one's own on the loopback interface, behind a real socket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

REGION = "us-east-1"
_KEYS = ("testing", "testing-secret")


@contextlib.contextmanager
def serving_s3() -> Iterator[str]:
    """Its address, while the block runs."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def s3_client(endpoint: str) -> Any:
    """To look into it, and to make buckets."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=_KEYS[0],
        aws_secret_access_key=_KEYS[1],
    )


def s3_connection(endpoint: str) -> str:
    """The Airflow connection to it, as JSON."""
    extra = {"endpoint_url": endpoint, "region_name": REGION}
    return json.dumps({"conn_type": "aws", "login": _KEYS[0], "password": _KEYS[1], "extra": extra})
