"""How a set lies on disk: as on the hub, so that `datasets.load_dataset("<org>/<name>", config)` finds it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Row = Mapping[str, object]


def write_set(folder: Path, hub: str, config: str, splits: Mapping[str, Sequence[Row]]) -> None:
    """Write `<folder>/<hub>/README.md` and one parquet file a split."""
    home = folder / hub
    (home / config).mkdir(parents=True)
    card = ["---", "configs:", f"- config_name: {config}", "  data_files:"]
    for split, rows in splits.items():
        pq.write_table(pa.Table.from_pylist(list(rows)), home / config / f"{split}-00000-of-00001.parquet")
        card += [f"  - split: {split}", f"    path: {config}/{split}-*"]
    (home / "README.md").write_text("\n".join([*card, "---", f"A made-up stand-in for {hub}, in its schema.", ""]))
