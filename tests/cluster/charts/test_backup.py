import pytest


def lose_everything(installation):
    """What a new installation with new volumes would have: a bucket, a database and a folder with nothing in them."""
    with installation.store() as store:
        store.blobs.remove("test")
    empty = "TRUNCATE experiments CASCADE"
    database = "pod/rlgen-postgres-0", "--", "psql", "--host=/tmp", "--username=mlflow", "mlflow", "--command", empty
    installation.kubectl("exec", *database)
    remove = "import pathlib, shutil; [shutil.rmtree(folder) for folder in pathlib.Path('/artifacts').iterdir()]"
    installation.kubectl("exec", "deployment/rlgen-mlflow", "--", "python", "-c", remove)


def test_what_was_lost_after_a_backup_comes_back(gpu_box, tmp_path):
    with gpu_box.store() as store:
        store.blobs.put_new("test/saved/part.bin", bytes(range(256)) * 1000)
        store.blobs.put_new("test/saved/manifest.json", b"{}")
    run = gpu_box.keep_run("saved")
    gpu_box.run("platform/backup", str(tmp_path))

    lose_everything(gpu_box)
    with gpu_box.store() as store:
        assert store.blobs.read("test/saved/part.bin") is None
    with gpu_box.tracking() as tracking:
        assert tracking.get_experiment_by_name("saved") is None
    gpu_box.run("platform/restore", str(tmp_path))

    with gpu_box.store() as store:
        assert store.blobs.read("test/saved/part.bin") == bytes(range(256)) * 1000
        assert store.blobs.read("test/saved/manifest.json") == b"{}"
    gpu_box.check_run(run, tmp_path)


def test_a_second_backup_brings_only_what_is_new(gpu_box, tmp_path):
    with gpu_box.store() as store:
        store.blobs.put_new("test/first", b"1")
        gpu_box.run("platform/backup", str(tmp_path))
        store.blobs.put_new("test/second", b"2")
    assert "save: 1 objects" in gpu_box.run("platform/backup", str(tmp_path))
    assert (tmp_path / "store/results/test/second").read_bytes() == b"2"


@pytest.mark.parametrize("script", ["backup", "restore"])
def test_a_script_without_its_folder_says_so(gpu_box, script):
    with pytest.raises(AssertionError, match=f"error: platform/{script}: expected one folder, got 0 arguments"):
        gpu_box.run(f"platform/{script}")
