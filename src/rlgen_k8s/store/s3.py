"""The store on MinIO, or any S3 that honours `If-None-Match: *` on a put (AWS, Ceph, Garage, Cloudflare R2…).

Over HTTP every request is signed with the SHA-256 of its body and over HTTPS it carries the MD5, so a body that was
altered on its way is refused by the server.
"""

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.exceptions import HTTPError

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.store.files import Brought, FileEntry
from rlgen_k8s.store.manifest import MANIFEST
from rlgen_k8s.store.threads import several_at_once

PART = 16 * 2**20
"""Bytes in a part of a multipart upload, and the largest file put in one request; larger when 10 000 are too few."""
MAX_PARTS = 10_000
CHUNK = 2**20
TRANSIENT = {"InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"}


class S3Blobs:
    """Names are objects below `prefix` in a bucket that exists."""

    def __init__(self, client: Minio, bucket: str, prefix: str) -> None:
        self.client = client
        self.bucket = bucket
        self.prefix = prefix.strip("/")

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Tell what the user must mend from what may pass by itself."""
        try:
            yield
        except S3Error as error:
            if error.code in TRANSIENT:
                raise TryAgainError(f"store {self.uri}: {error.code}: {error.message}") from error
            raise UserError(
                f"store {self.uri}: the server said {error.code} ({error.message}); "
                "check the bucket, its free space and policy, and the credentials"
            ) from error
        except InvalidResponseError as error:
            raise UserError(f"store {self.uri}: its endpoint does not answer as S3 does ({error})") from error
        except (HTTPError, ServerError) as error:
            raise TryAgainError(f"store {self.uri}: not reachable ({error})") from error

    def _object(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def read(self, name: str) -> bytes | None:
        """The bytes of an object, or None."""
        with self._talking():
            try:
                response = self.client.get_object(self.bucket, self._object(name))
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return None
                raise
            try:
                return response.read()
            finally:
                response.close()
                response.release_conn()

    def put_new(self, name: str, data: bytes) -> bool:
        """A put on condition that the object does not exist.

        A put whose answer was lost is sent again and then finds its own object: that is a success, told by reading.
        """
        while True:
            try:
                with self._talking():
                    # `put_object` would turn the header into user metadata, so this is its inner half.
                    self.client._put_object(self.bucket, self._object(name), data, {"If-None-Match": "*"})
                return True
            except UserError as error:
                code = error.__cause__.code if isinstance(error.__cause__, S3Error) else None
                if code == "PreconditionFailed":
                    return self.read(name) == data
                if code != "ConditionalRequestConflict":
                    raise
            time.sleep(0.1)

    def children(self, prefix: str) -> list[str]:
        """The names one level below a prefix."""
        start = self._object(f"{prefix}/" if prefix else "")
        with self._talking():
            listed = self.client.list_objects(self.bucket, prefix=start)
            return sorted((entry.object_name or "")[len(start) :].rstrip("/") for entry in listed)

    def remove(self, name: str) -> None:
        """Remove an object, and all objects below it."""
        target = self._object(name)
        with self._talking():
            self.client.remove_object(self.bucket, target)
            below = self.client.list_objects(self.bucket, prefix=f"{target}/", recursive=True)
            doomed = [DeleteObject(entry.object_name or "") for entry in below]
            for error in self.client.remove_objects(self.bucket, doomed):
                raise UserError(f"store {self.uri}: could not remove {error.name}: {error.code} {error.message}")

    def workplace(self, prefix: str, scratch: Path) -> Path:
        """A folder on local disk: the files are uploaded when they are whole."""
        folder = scratch / "out"
        folder.mkdir(parents=True)
        return folder

    def keep(self, prefix: str, folder: Path, files: Sequence[FileEntry]) -> None:
        """Upload files, large ones in parts."""

        def upload(entry: FileEntry) -> None:
            with self._talking(), (folder / entry.path).open("rb") as stream:
                self._upload(f"{prefix}/{entry.path}", stream, entry.size)

        several_at_once(upload, files)

    def _upload(self, name: str, stream: io.BufferedReader, size: int) -> None:
        if size <= PART:
            self.client.put_object(self.bucket, self._object(name), stream, size)
        else:
            part = max(PART, -(-size // MAX_PARTS))
            self.client.put_object(self.bucket, self._object(name), stream, size, part_size=part)

    def bring(self, prefix: str, files: Sequence[FileEntry], to: Path) -> Brought:
        """Download files to `to`; missing ones are left out."""

        def download(entry: FileEntry) -> str | None:
            with self._talking():
                return self._download(f"{prefix}/{entry.path}", to / entry.path)

        hashes = zip(files, several_at_once(download, files), strict=True)
        return Brought(to, {entry.path: sha256 for entry, sha256 in hashes if sha256})

    def _download(self, name: str, path: Path) -> str | None:
        """The SHA-256 of what came, or None. Hashed on the way: reading it again later would cost another pass."""
        try:
            response = self.client.get_object(self.bucket, self._object(name))
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise
        digest = hashlib.sha256()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                for chunk in response.stream(CHUNK):
                    digest.update(chunk)
                    stream.write(chunk)
        finally:
            response.close()
            response.release_conn()
        return digest.hexdigest()

    def hold(self, address: str, attempt: str) -> Callable[[], None]:
        """Nothing: on S3 an attempt's files appear only when it publishes."""
        return lambda: None

    def abandoned(self, address: str, attempt: str) -> bool:
        """True once the result is published: then no other attempt can win, and none is harmed by losing files.

        Before that an upload may be going on anywhere, and nobody can see whether it is.
        """
        return self.read(f"{address}/{MANIFEST}") is not None
