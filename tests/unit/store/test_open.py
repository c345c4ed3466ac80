"""A store's URI, and what is said about a wrong one."""

from pathlib import Path

import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.store.open import open_store

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


def test_a_folder_is_named_by_path_or_by_file_uri(tmp_path: Path) -> None:
    assert open_store(str(tmp_path / "x"), {}).uri == str(tmp_path / "x")
    assert open_store(f"file://{tmp_path}/a%20b", {}).uri == str(tmp_path / "a b")
    assert not (tmp_path / "x").exists(), "reading makes no folder"


def test_s3_is_named_by_bucket_and_prefix() -> None:
    store = open_store("s3://bucket/some/prefix?endpoint=http://localhost:9000&region=eu-1", KEYS)
    assert store.uri == "s3://bucket/some/prefix"


@pytest.mark.parametrize(
    ("uri", "environ", "said"),
    [
        ("s3:///prefix", KEYS, "expected a bucket"),
        ("s3://bucket?endpoit=http://h", KEYS, "unknown option 'endpoit'"),
        ("s3://bucket?endpoint=localhost:9000", KEYS, "expected http://host:port"),
        ("s3://bucket", {}, "set MINIO_ACCESS_KEY and MINIO_SECRET_KEY"),
        ("s3:/bucket/prefix", KEYS, "expected a folder, file:///folder or s3://bucket/prefix"),
        ("gs://bucket", {}, "expected a folder, file:///folder or s3://bucket/prefix"),
        ("file://relative/path", {}, "expected a folder"),
        (__file__, {}, "found a file"),
        ("", {}, "expected a folder"),
    ],
)
def test_a_wrong_uri_is_said_in_one_line(uri: str, environ: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        open_store(uri, environ)
    assert "\n" not in str(caught.value)
