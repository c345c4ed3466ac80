"""A store by its URI."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from rlgen_k8s.errors import UserError
from rlgen_k8s.store.blobs import Blobs
from rlgen_k8s.store.folder import FolderBlobs
from rlgen_k8s.store.node_cache import NodeCache
from rlgen_k8s.store.results import Store

AWS = "https://s3.amazonaws.com"


def open_store(uri: str, environ: Mapping[str, str] = os.environ) -> Store:
    """The store that a URI names:

    - a path or `file:///path`: a folder, made when first written to;
    - `s3://bucket/prefix?endpoint=http://host:9000&region=us-east-1`: MinIO or another S3. Without `endpoint` it is
      `AWS_ENDPOINT_URL`, else AWS. Credentials are `MINIO_ACCESS_KEY` and `MINIO_SECRET_KEY`, or `AWS_ACCESS_KEY_ID`,
      `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; the region is `AWS_REGION` when the URI has none.
      `RLGEN_CACHE` names a folder for weights that this machine's processes share, `RLGEN_CACHE_GIB` its size.
    """
    if not uri.startswith("s3://"):
        return Store(_open_folder(uri))
    blobs, cache = _open_s3(uri, environ), environ.get("RLGEN_CACHE")
    if not cache:
        return Store(blobs)
    return Store(blobs, NodeCache(blobs, Path(cache), int(float(environ["RLGEN_CACHE_GIB"]) * 2**30)).bring)


def _open_folder(uri: str) -> FolderBlobs:
    scheme, separator, rest = uri.partition("://")
    if uri.startswith("s3:") or (separator and (scheme != "file" or not rest.startswith("/"))):
        raise UserError(f"store {uri!r}: expected a folder, file:///folder or s3://bucket/prefix")
    root = Path(unquote(rest)) if separator else Path(uri).expanduser()
    if not uri or (root.exists() and not root.is_dir()):
        raise UserError(f"store {uri!r}: expected a folder, found a file; set RLGEN_STORE to another place")
    return FolderBlobs(root)


def _open_s3(uri: str, environ: Mapping[str, str]) -> Blobs:
    parts = urlsplit(uri)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if unknown := sorted(options.keys() - {"endpoint", "region"}):
        raise UserError(f"store {uri!r}: unknown option {unknown[0]!r}; there are endpoint and region")
    if not parts.netloc:
        raise UserError(f"store {uri!r}: expected a bucket, as in s3://bucket/prefix")
    endpoint = urlsplit(options.get("endpoint") or environ.get("AWS_ENDPOINT_URL") or AWS)
    if endpoint.scheme not in ("http", "https") or not endpoint.netloc:
        raise UserError(f"store {uri!r}: endpoint {endpoint.geturl()!r}: expected http://host:port or https://host")
    access = environ.get("MINIO_ACCESS_KEY") or environ.get("AWS_ACCESS_KEY_ID")
    secret = environ.get("MINIO_SECRET_KEY") or environ.get("AWS_SECRET_ACCESS_KEY")
    if not access or not secret:
        raise UserError(
            f"store {uri!r}: no credentials; set MINIO_ACCESS_KEY and MINIO_SECRET_KEY, "
            "or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    # Here, so that a folder store costs no import of the S3 client.
    from minio import Minio

    from rlgen_k8s.store.s3 import S3Blobs

    client = Minio(
        endpoint.netloc,
        access,
        secret,
        session_token=None if environ.get("MINIO_ACCESS_KEY") else environ.get("AWS_SESSION_TOKEN"),
        secure=endpoint.scheme == "https",
        region=options.get("region") or environ.get("AWS_REGION"),
    )
    return S3Blobs(client, parts.netloc, parts.path)
