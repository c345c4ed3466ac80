"""Many tests at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values `[n]` (Benjamini & Hochberg 1995): reject those ≤ q to keep the false discovery rate ≤ q."""
    p = np.asarray(p_values, dtype=np.float64)
    return np.asarray(false_discovery_control(p), dtype=np.float64) if p.size else p
