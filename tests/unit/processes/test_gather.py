"""What processes on several nodes wrote is whole on the first one."""

from pathlib import Path

import torch.distributed as dist
import torch.multiprocessing

from rlgen_k8s.processes import gather

MODEL, LONG = b"whole model", bytes(range(256)) * 5
"""The latter takes several parts."""


def node(rank: int, root: str) -> None:
    """The process `rank` of three, two of which are on the second node."""
    gather.CHUNK = 500
    dist.init_process_group("gloo", init_method=f"file://{root}/meeting", rank=rank, world_size=3)
    gather.gather(Path(root) / ("first", "second", "second")[rank], local_rank=(0, 0, 1)[rank])
    dist.barrier()
    dist.destroy_process_group()


def test_the_first_node_has_all_files_and_the_others_keep_only_what_both_have(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, files in (
        (first, {"model": MODEL, "shards/0": b"zero", "latest": b"10"}),
        (second, {"shards/1": LONG, "shards/2": b"", "latest": b"10"}),
    ):
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)

    torch.multiprocessing.spawn(node, args=(str(tmp_path),), nprocs=3)

    there = {str(path.relative_to(first)): path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert there == {"model": MODEL, "shards/0": b"zero", "shards/1": LONG, "shards/2": b"", "latest": b"10"}
    assert [path.name for path in second.rglob("*") if path.is_file()] == ["latest"]
