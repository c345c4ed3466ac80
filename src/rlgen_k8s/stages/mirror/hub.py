"""The hub's data sets as a mirror: only the files that a study reads, whatever is no parquet made parquet."""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.download import download, find
from rlgen_k8s.stages.mirror.settings import MirrorSettings

CARD = "README.md"
DATA = ("*.parquet", "*.json", "*.jsonl")
FILES: Mapping[str, tuple[str, ...]] = {
    "open-thoughts/OpenThoughts-114k": ("data/*.parquet",),  # the configuration `metadata` is not read
    "togethercomputer/RedPajama-Data-1T-Sample": ("*.jsonl",),
}
"""Files of the sets of which not all data files are wanted."""
ROWS_AT_ONCE = 10_000


def mirror_hub(context: Context[MirrorSettings]) -> None:
    """Fill `context.out` with `<org>/<name>/` for each set, and `mirror.json`: commit, licence and rows of each."""
    out, revisions = context.out, context.settings.revisions
    sources = {
        name: find(f"mirror.revisions[{name}]", name, revision, kind="dataset", patterns=(CARD, *FILES.get(name, DATA)))
        for name, revision in revisions.items()
    }
    download(context, [(source, out / name) for name, source in sources.items()])
    recorded = {}
    for name, source in sources.items():
        folder = out / name
        if not any(folder.rglob("*.parquet")):
            to_parquet(folder, name)
        elif not (folder / CARD).exists():
            describe(folder)
        rows = sum(pq.read_metadata(file).num_rows for file in folder.rglob("*.parquet"))
        recorded[name] = {
            "revision": revisions[name],
            "commit": source.commit,
            "licence": licence(folder / CARD),
            "rows": rows,
        }
    (out / "mirror.json").write_text(json.dumps(recorded, indent=1) + "\n")


def licence(card: Path) -> str:
    """What a set's card says of its licence; "" if it says nothing."""
    found = _read_card(card)[0].get("license", "")
    return ", ".join(map(str, found)) if isinstance(found, list) else str(found)


def to_parquet(folder: Path, name: str) -> None:
    """Put one parquet file a split in the place of the JSON files in `folder`.

    A file's name says its split (`test.jsonl`), else it is `train`. Whatever is not text becomes JSON text, so
    that files whose records differ in depth, as RedPajama's `meta` does, make one table.
    """
    files = sorted(path for pattern in ("*.json", "*.jsonl") for path in folder.rglob(pattern))
    if not files:
        raise UserError(
            f"mirror.revisions[{name}]: no parquet and no JSON file at this revision; try refs/convert/parquet"
        )
    splits: dict[str, list[Path]] = {}
    for file in files:
        split = next((word for word in ("test", "validation") if word in file.stem), "train")
        splits.setdefault(split, []).append(file)
    for split, parts in splits.items():
        _write(folder / f"{split}-00000-of-00001.parquet", parts)
    for file in files:
        file.unlink()
    _name_files(folder, {"default": {split: f"{split}-*.parquet" for split in splits}})


def describe(folder: Path) -> None:
    """Write the card of a set that has none, as on the hub's branch refs/convert/parquet: `<config>/<split>/*.parquet`.

    A split of which the hub converted only the beginning is `partial-<split>` there.
    """
    files: dict[str, dict[str, str]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        config, split = path.relative_to(folder).parts[:2]
        files.setdefault(config, {})[split.removeprefix("partial-")] = f"{config}/{split}/*.parquet"
    _name_files(folder, files)


def _name_files(folder: Path, files: Mapping[str, Mapping[str, str]]) -> None:
    """Make the set's card say where the files are: paths by configuration and split."""
    card = folder / CARD
    front, body = _read_card(card)
    configs = [
        {
            "config_name": config,
            "data_files": [{"split": split, "path": path} for split, path in splits.items()],
        }
        for config, splits in files.items()
    ]
    front |= {"configs": configs}
    front.pop("dataset_info", None)  # describes the files as they were
    card.unlink(missing_ok=True)
    card.write_text(f"---\n{yaml.safe_dump(front)}---\n{body}")


def _write(target: Path, files: list[Path]) -> None:
    """All records of `files` as one table, whose columns are those of the first records of each file."""
    names = list(dict.fromkeys(key for file in files for key in next(iter(_records(file)), {})))
    schema = pa.schema([(name, pa.string()) for name in names])
    with pq.ParquetWriter(target, schema) as writer:
        for file in files:
            rows = ({key: _text(record.get(key)) for key in names} for record in _records(file))
            while some := list(islice(rows, ROWS_AT_ONCE)):
                writer.write_table(pa.Table.from_pylist(some, schema=schema))


def _records(file: Path) -> Iterable[dict[str, Any]]:
    if file.suffix == ".json":
        yield from json.loads(file.read_text())
        return
    with file.open() as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_card(card: Path) -> tuple[dict[str, Any], str]:
    """The front matter of a set's card, and the text after it; empty where there is none."""
    text = card.read_text() if card.exists() else ""
    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}, text
    front = yaml.safe_load(parts[1])
    return front if isinstance(front, dict) else {}, parts[2]
