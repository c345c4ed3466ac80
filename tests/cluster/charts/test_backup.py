import pytest


def test_a_new_installation_gets_back_what_was_saved(gpu_box, tmp_path):
    """Given a backup; when the whole namespace is lost and installed again; then restore brings all back."""
    with gpu_box.store() as store:
        store.blobs.put_new("test/saved/part.bin", bytes(range(256)) * 1000)
        store.blobs.put_new("test/saved/manifest.json", b"{}")
    with gpu_box.tracking() as tracking:
        run = tracking.create_run(tracking.create_experiment("saved")).info.run_id
        tracking.log_metric(run, "accuracy", 0.624)
        tracking.log_text(run, "saved", "note.txt")
    gpu_box.run("platform/backup", str(tmp_path))

    gpu_box.remove()
    small = "minio.resources.requests.cpu=20m,minio.resources.requests.memory=256Mi"
    gpu_box.install("--set", small)
    with gpu_box.store() as store:
        assert store.blobs.read("test/saved/part.bin") is None
    gpu_box.run("platform/restore", str(tmp_path))

    with gpu_box.store() as store:
        assert store.blobs.read("test/saved/part.bin") == bytes(range(256)) * 1000
        assert store.blobs.read("test/saved/manifest.json") == b"{}"
    with gpu_box.tracking() as tracking:
        assert tracking.get_run(run).data.metrics == {"accuracy": 0.624}
        downloaded = tmp_path / "downloaded"
        downloaded.mkdir()
        with open(tracking.download_artifacts(run, "note.txt", str(downloaded))) as note:
            assert note.read() == "saved"


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
