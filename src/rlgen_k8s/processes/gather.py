"""What processes on several nodes write as one: each node's write to that node's disk only."""

from pathlib import Path

import torch
import torch.distributed as dist

CHUNK = 2**26
"""Bytes sent at once."""


def gather(folder: Path, *, local_rank: int) -> None:
    """Move to the first node what other nodes have in `folder` and it has not.

    Every process of torch.distributed calls it once it has written, each with its rank in its node. A point to resume
    from is then whole on the first node, which keeps it in the store for all.
    """
    dist.barrier()
    listed: list[dict[str, int]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(listed, sizes(folder) if local_rank == 0 else {})
    there = set(listed[0])
    for sender, theirs in enumerate(listed):
        for name in sorted(theirs.keys() - there):
            _send(folder / name, theirs[name], sender)
        there |= theirs.keys()


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file below `folder`, by its path in there."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def _send(path: Path, size: int, sender: int) -> None:
    """Move a file of `size` bytes from the process `sender` to the first one, in parts."""
    if dist.get_rank() not in (0, sender):
        return
    sends = dist.get_rank() == sender
    path.parent.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    with path.open("rb" if sends else "wb") as file:
        for start in range(0, size, CHUNK):
            if sends:
                part = torch.frombuffer(bytearray(file.read(CHUNK)), dtype=torch.uint8)
                dist.send(part.to(device), dst=0)
            else:
                part = torch.empty(min(CHUNK, size - start), dtype=torch.uint8, device=device)
                dist.recv(part, src=sender)
                file.write(part.cpu().numpy().tobytes())
    if sends:
        path.unlink()
