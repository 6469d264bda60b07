"""Whether probabilities mean what they say: calibration error beside a perfect forecaster's, and conformal sets."""

import numpy as np

from training.metrics import BoolArray, FloatArray, IntArray

CONFORMAL = "conformal_90_at_{minute}"  # metrics of a manifest: what an outcome must have to be in the set
_BINS = 10
_CHUNK = 50  # outcomes drawn at a time, which bounds memory


def calibration_errors(chances: FloatArray, outcomes: IntArray) -> FloatArray:
    """Return the expected calibration error of each class, ten bins of equal width.

    Args:
        chances: (n, k) probabilities.
        outcomes: (..., n) index of what happened; leading axes are other worlds.
    Returns:
        (..., k)
    Source: Naeini, Cooper and Hauskrecht (2015), AAAI; classwise as Kull et al. (2019), NeurIPS.

    >>> calibration_errors(np.array([[0.25, 0.75], [0.25, 0.75]]), np.array([1, 1]))
    array([0.25, 0.25])
    """
    n, classes = chances.shape
    errors = []
    for k in range(classes):
        place = np.minimum((chances[:, k] * _BINS).astype(np.int64), _BINS - 1)
        bins = np.eye(_BINS)[place]
        gaps = ((outcomes == k) - chances[:, k]) @ bins
        errors.append(np.abs(gaps).sum(axis=-1) / n)
    return np.stack(errors, axis=-1)


def reliability(said: FloatArray, came: BoolArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return, for each of ten bins that is not empty, what was said and how often it came, on average, and how many.

    >>> [part.tolist() for part in reliability(np.array([0.0, 0.25, 0.25]), np.array([False, True, False]))]
    [[0.0, 0.25], [0.0, 0.5], [1, 2]]
    """
    place = np.minimum((said * _BINS).astype(np.int64), _BINS - 1)
    bins, where, count = np.unique(place, return_inverse=True, return_counts=True)
    sums = [np.bincount(where, weights=each, minlength=len(bins)) for each in (said, came)]
    return sums[0] / count, sums[1] / count, count


def largest_error(chances: FloatArray, outcomes: IntArray, seed: int, worlds: int = 400) -> tuple[float, float]:
    """Return the largest error over phases and classes, and the 95th percentile of the same for a perfect forecaster.

    Args:
        chances: (phases, n, k); in each world every phase of a match has its own outcome drawn.
        outcomes: (n,)
    """
    random = np.random.default_rng(seed)
    found = max(float(calibration_errors(phase, outcomes).max()) for phase in chances)
    largest = []
    for start in range(0, worlds, _CHUNK):
        size = min(_CHUNK, worlds - start)
        drawn = [calibration_errors(phase, _draw(phase, size, random)).max(axis=1) for phase in chances]
        largest.append(np.max(drawn, axis=0))
    return found, float(np.quantile(np.concatenate(largest), 0.95))


def conformal_threshold(chances: FloatArray, outcomes: IntArray, level: float) -> float:
    """Return the probability that a class needs to be in the outcome set, so that sets hold the truth at `level`.

    Source: Sadinle, Lei and Wasserman (2019), JASA 114(525).
    """
    given = np.sort(chances[np.arange(len(outcomes)), outcomes])
    return float(given[max(int(np.floor((1 - level) * (len(given) + 1))) - 1, 0)])


def _draw(chances: FloatArray, size: int, random: np.random.Generator) -> IntArray:
    """Return (size, n) outcomes drawn from (n, k) probabilities."""
    steps = np.cumsum(chances, axis=1)[:, :-1]
    return np.asarray((random.random((size, len(chances), 1)) > steps).sum(axis=2), dtype=np.int64)
