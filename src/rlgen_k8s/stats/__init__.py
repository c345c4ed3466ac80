"""Statistics every figure leans on: intervals, paired tests, multiple comparisons, overlaps by chance."""

from rlgen_k8s.stats.contrasts import difference, mean_change
from rlgen_k8s.stats.intervals import Interval, bootstrap, bootstrap_mean
from rlgen_k8s.stats.multiple import benjamini_hochberg
from rlgen_k8s.stats.overlap import Overlap, jaccard, overlap_of
from rlgen_k8s.stats.paired import FlipTests, PairedTest, mcnemar, paired_t, sign_flip, sign_flip_columns

__all__ = [
    "FlipTests",
    "Interval",
    "Overlap",
    "PairedTest",
    "benjamini_hochberg",
    "bootstrap",
    "bootstrap_mean",
    "difference",
    "jaccard",
    "mcnemar",
    "mean_change",
    "overlap_of",
    "paired_t",
    "sign_flip",
    "sign_flip_columns",
]
