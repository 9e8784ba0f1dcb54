"""A fully connected network of quantities and classes, in NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from ensemble.arrays import Floats
from ensemble.members.probabilities import softmax

Singles = npt.NDArray[np.float32]

# Inputs are bent towards this value, from Holzmüller et al.
_CLIP = 3.0
# No square of a smaller value overflows, and one is bent to the clip as exactly as float32 can tell.
_FAR = 1e6
_LEAK = np.float32(0.1)
# Adam's averages; the learning rates of input scales and biases are multiples of that of the weights.
_FIRST, _SECOND, _EPSILON = 0.9, 0.95, np.float32(1e-8)
_SCALES_RATE, _BIASES_RATE = 6.0, 0.1
# The learning rate rises and falls this many times, each time more slowly.
_CYCLES = 4
# The fewest and the most passes over the rows, and the least rows of a step.
_PASSES = (15, 100)
_LEAST_BATCH = 32
# The fewest rows by which the decay is divided, for quantities and for classes. Divided by 50, it brings the weights of
# the first layers to nearly zero after a few steps.
_LEAST_ROWS = {False: 150, True: 100}


class LeakyNetwork(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A network whose hidden units are leaky rectifiers, as an estimator of scikit-learn.

    From RealMLP are the bent inputs with a scale each, weights in the parametrisation of the neural tangent kernel, an
    output that begins at zero, Adam with a learning rate in cycles, and smoothed labels. Its activations need
    logarithms and exponentials, which leaky rectifiers do not; they were as good.

    Source: D. Holzmüller, L. Grinsztajn, I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
    Tabular Data", NeurIPS 2024.
    """

    def __init__(self, settings: dict[str, Any], seed: int) -> None:
        """Keep the settings, as scikit-learn requires.

        Args:
            settings: ``width`` of each of ``layers`` hidden layers; ``updates``, the steps of the optimiser, within a
                range of passes over the rows; ``learning_rate``, the highest one; ``batch_size``, the most rows of a
                step, and an eighth of fewer than eight times as many; ``decay``, by how much a step shrinks weights, as
                a multiple of the learning rate over the number of rows, or over a least number, and at most to
                zero; ``smoothing``, the part of a label that all classes share, not for quantities.
            seed: Seed of the first weights and of the order of rows.
        """
        self.settings = settings
        self.seed = seed

    def _learn(self, features: Floats, wanted: Singles, weights: Floats | None, *, classes: bool) -> None:
        """Find weights and biases.

        Args:
            features: Shape (rows, columns), float64, finite, about 1 in size.
            wanted: What the outputs should be, shape (rows, outputs): quantities, or probabilities.
            weights: Row weights, shape (rows,); None if all rows count equally.
            classes: Whether the outputs are logarithms of probabilities.
        """
        random, inputs = np.random.default_rng(self.seed), _bent(features)
        rows, outputs = wanted.shape
        share = np.ones((rows, 1), np.float32) if weights is None else _single(weights / weights.mean())[:, None]
        batch = min(rows, self.settings["batch_size"], max(_LEAST_BATCH, rows // 8))
        steps = max(1, rows // batch)
        passes = int(np.clip(-(-self.settings["updates"] // steps), *_PASSES))
        sizes = [inputs.shape[1], *[self.settings["width"]] * self.settings["layers"], outputs]
        last = len(sizes) - 2
        draws = [random.standard_normal((before + 1, after)) for before, after in itertools.pairwise(sizes)]
        draws[last][:] = 0.0
        self.weights_ = [np.ascontiguousarray(draw[:-1], dtype=np.float32) for draw in draws]
        self.biases_ = [np.ascontiguousarray(draw[-1], dtype=np.float32) for draw in draws]
        self.scales_ = np.ones(sizes[0], np.float32)
        optimiser = _Adam(
            [self.scales_, *self.weights_, *self.biases_],
            [_SCALES_RATE, *[1.0] * (last + 1), *[_BIASES_RATE] * (last + 1)],
            range(1, last + 2),
            self.settings["decay"] / max(rows, _LEAST_ROWS[classes]),
        )
        done = 0
        for _ in range(passes):
            order = random.permutation(rows)
            for step in range(steps):
                chosen = order[step * batch : (step + 1) * batch]
                gradients = self._gradients(inputs[chosen], wanted[chosen], share[chosen] / np.float32(batch), classes)
                phase = 2 * np.pi * np.log2(1 + (2**_CYCLES - 1) * done / (passes * steps))
                optimiser.step(gradients, self.settings["learning_rate"] * 0.5 * (1 - float(np.cos(phase))))
                done += 1

    def _gradients(self, inputs: Singles, wanted: Singles, share: Singles, classes: bool) -> list[Singles]:
        """Return the gradients of the loss by scales, weights and biases, in this order."""
        values, slopes = [inputs * self.scales_], []
        for weights, bias in zip(self.weights_[:-1], self.biases_[:-1], strict=True):
            sums = values[-1] @ weights * _unit(weights) + bias
            slope = np.where(sums > 0, np.float32(1), _LEAK)
            values.append(sums * slope)
            slopes.append(slope)
        outputs = values[-1] @ self.weights_[-1] * _unit(self.weights_[-1]) + self.biases_[-1]
        if classes:
            outputs = softmax(outputs.astype(np.float64)).astype(np.float32)
        back = (outputs - wanted) * share
        by_weights: list[Singles] = []
        by_biases: list[Singles] = []
        for place in reversed(range(len(self.weights_))):
            weights = self.weights_[place]
            by_weights.insert(0, values[place].T @ back * _unit(weights))
            by_biases.insert(0, back.sum(axis=0))
            back = back @ weights.T * _unit(weights)
            if place:
                back *= slopes[place - 1]
        return [(back * inputs).sum(axis=0), *by_weights, *by_biases]

    def _outputs(self, features: Floats) -> Floats:
        """Return the outputs, shape (rows, outputs), unit by unit: the same bits for one row as among many."""
        from ensemble.members.scikit import product

        values = _bent(features).astype(np.float64) * self.scales_
        for place, (weights, bias) in enumerate(zip(self.weights_, self.biases_, strict=True)):
            values = product(values, weights.astype(np.float64) * np.float64(_unit(weights)), bias.astype(np.float64))
            if place + 1 < len(self.weights_):
                values = np.where(values > 0, values, _LEAK * values)
        return values


class LeakyNetworkRegressor(RegressorMixin, LeakyNetwork):  # type: ignore[misc]
    """The network of a quantity, with the squared error."""

    def fit(self, features: Floats, target: Floats, sample_weight: Floats | None = None) -> LeakyNetworkRegressor:
        """Fit on features of shape (rows, columns) and a standardised target of shape (rows,)."""
        self._learn(features, _single(target)[:, None], sample_weight, classes=False)
        self.range_ = np.array([target.min(), target.max()])
        return self

    def predict(self, features: Floats) -> Floats:
        """Return the predictions, shape (rows,), none beyond the targets of the fit."""
        return np.asarray(np.clip(self._outputs(features)[:, 0], *self.range_))


class LeakyNetworkClassifier(ClassifierMixin, LeakyNetwork):  # type: ignore[misc]
    """The network of classes, with the log loss."""

    def fit(
        self, features: Floats, target: npt.NDArray[np.int64], sample_weight: Floats | None = None
    ) -> LeakyNetworkClassifier:
        """Fit on features of shape (rows, columns) and positions of classes, shape (rows,)."""
        self.classes_, codes = np.unique(target, return_inverse=True)
        classes = len(self.classes_)
        wanted = np.full((len(codes), classes), self.settings["smoothing"] / classes, dtype=np.float32)
        wanted[np.arange(len(codes)), codes] += np.float32(1 - self.settings["smoothing"])
        self._learn(features, wanted, sample_weight, classes=True)
        return self

    def predict_proba(self, features: Floats) -> Floats:
        """Return the probabilities of ``classes_``, shape (rows, classes)."""
        return softmax(self._outputs(features))


class _Adam:
    """D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015."""

    def __init__(self, parameters: list[Singles], rates: list[float], decayed: Any, decay: float) -> None:
        self._parameters, self._rates, self._decayed, self._decay = parameters, rates, set(decayed), decay
        self._first = [np.zeros_like(parameter) for parameter in parameters]
        self._second = [np.zeros_like(parameter) for parameter in parameters]
        self._steps = 0

    def step(self, gradients: list[Singles], rate: float) -> None:
        """Change the parameters, in place."""
        self._steps += 1
        unbiased = 1 - _FIRST**self._steps
        spread = np.float32(1 / (1 - _SECOND**self._steps))
        for place, gradient in enumerate(gradients):
            first, second, own = self._first[place], self._second[place], rate * self._rates[place]
            first += np.float32(1 - _FIRST) * (gradient - first)
            second += np.float32(1 - _SECOND) * (gradient * gradient - second)
            if place in self._decayed:
                self._parameters[place] *= np.float32(max(0.0, 1 - own * self._decay))
            self._parameters[place] -= np.float32(own / unbiased) * first / (np.sqrt(second * spread) + _EPSILON)


def _bent(features: Floats) -> Singles:
    """Return features that are about as they are near zero, and bent towards ``_CLIP`` far from it."""
    near = np.clip(features, -_FAR, _FAR)
    return _single(near / np.sqrt(1 + (near / _CLIP) ** 2))


def _single(values: Floats) -> Singles:
    return values.astype(np.float32)


def _unit(weights: Singles) -> np.float32:
    """Return the factor that makes sums of any number of inputs equally large."""
    return np.float32(1 / np.sqrt(len(weights)))
