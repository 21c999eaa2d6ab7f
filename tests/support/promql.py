"""PromQL over a few scrapes: the part of the language that our rules use, evaluated as Prometheus 3 does.

What is not of that part raises `NotImplementedError`, so that no rule is judged by something else than it says.
"""

import itertools
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

Value = TypeVar("Value")

LOOKBACK_SECONDS = 300

_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_COMPARISON: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class Scrapes:
    """What was scraped of one target, each time at a time that is given, in seconds."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._samples: list[dict[str, Vector]] = []

    def add(self, at: float, text: str) -> None:
        """Add a scrape, later than all before."""
        samples: dict[str, Vector] = defaultdict(dict)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples[sample.name][frozenset(sample.labels.items())] = sample.value
        self.times.append(at)
        self._samples.append(samples)

    def at(self, name: str, now: float) -> Vector:
        """Give a metric as it is now: as the last scrape has it, if that is not too old."""
        known = [number for number, time in enumerate(self.times) if now - LOOKBACK_SECONDS < time <= now]
        return self._samples[known[-1]].get(name, {}) if known else {}

    def within(self, name: str, now: float, seconds: float) -> dict[Labels, list[tuple[float, float]]]:
        """Give the times and values of a metric in a window."""
        series: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
        for time, samples in zip(self.times, self._samples, strict=True):
            if now - seconds < time <= now:
                for labels, value in samples.get(name, {}).items():
                    series[labels].append((time, value))
        return series


def evaluate(text: str, scrapes: Scrapes, now: float) -> Vector:
    """Evaluate an expression that gives a vector."""
    result = _evaluate(promql_parser.parse(text), scrapes, now)
    if not isinstance(result, dict):
        raise NotImplementedError("a scalar is no condition")
    return result


def names_in(text: str) -> Iterator[str]:
    """Name the metrics that an expression reads."""
    for found in re.finditer(r'VectorSelector \{\s*name: Some\(\s*"([^"]+)"', repr(promql_parser.parse(text))):
        yield found[1]


def _evaluate(node: Any, scrapes: Scrapes, now: float) -> Vector | float:
    match type(node).__name__:
        case "NumberLiteral":
            return float(node.val)
        case "ParenExpr":
            return _evaluate(node.expr, scrapes, now)
        case "VectorSelector":
            return _select(node, scrapes.at(node.name, now))
        case "Call":
            return _call(node, scrapes, now)
        case "AggregateExpr":
            return _aggregate(node, _vector(node.expr, scrapes, now))
        case "BinaryExpr":
            return _combine(node, _evaluate(node.lhs, scrapes, now), _evaluate(node.rhs, scrapes, now))
        case other:
            raise NotImplementedError(other)


def _vector(node: Any, scrapes: Scrapes, now: float) -> Vector:
    value = _evaluate(node, scrapes, now)
    if not isinstance(value, dict):
        raise NotImplementedError(f"{node} is no vector")
    return value


def _select(node: Any, series: Mapping[Labels, Value]) -> dict[Labels, Value]:
    if node.offset is not None or node.at is not None or node.matchers.or_matchers:
        raise NotImplementedError("offset, @ and or")
    return {
        labels: value for labels, value in series.items() if all(_fits(one, labels) for one in node.matchers.matchers)
    }


def _fits(matcher: Any, labels: Labels) -> bool:
    value = dict(labels).get(matcher.name, "")
    match str(matcher.op).rpartition(".")[2]:
        case "Equal":
            return bool(value == matcher.value)
        case "NotEqual":
            return bool(value != matcher.value)
        case "Re":
            return re.fullmatch(matcher.value, value) is not None
        case "NotRe":
            return re.fullmatch(matcher.value, value) is None
        case other:
            raise NotImplementedError(other)


def _call(node: Any, scrapes: Scrapes, now: float) -> Vector:
    match node.func.name:
        case "rate" | "increase" as name:
            (matrix,) = node.args
            seconds = matrix.range.total_seconds()
            selector = matrix.vector_selector
            windows = _select(selector, scrapes.within(selector.name, now, seconds))
            rises = {labels: _increase(window, now, seconds) for labels, window in windows.items() if len(window) > 1}
            return {labels: rise / seconds if name == "rate" else rise for labels, rise in rises.items()}
        case "absent":
            (vector,) = node.args
            if vector.matchers.matchers:
                raise NotImplementedError("matchers, whose values become labels")
            return {} if _vector(vector, scrapes, now) else {frozenset(): 1.0}
        case "histogram_quantile":
            quantile, buckets = node.args
            return _quantiles(float(quantile.val), _vector(buckets, scrapes, now))
        case other:
            raise NotImplementedError(other)


def _increase(window: list[tuple[float, float]], now: float, seconds: float) -> float:
    """Extrapolate a counter's rise to the whole window, as `extrapolatedRate` of Prometheus 3 does."""
    values = [value for _, value in window]
    rise = values[-1] - values[0] + sum(one for one, then in itertools.pairwise(values) if then < one)
    (first, _), (last, _) = window[0], window[-1]
    between = (last - first) / (len(window) - 1)
    before, after = first - (now - seconds), now - last
    before = before if before < 1.1 * between else between / 2
    after = after if after < 1.1 * between else between / 2
    if rise > 0:
        before = min(before, (last - first) * values[0] / rise)  # a counter was never below zero
    return rise * (last - first + before + after) / (last - first)


def _quantiles(quantile: float, buckets: Vector) -> Vector:
    histograms: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for labels, count in buckets.items():
        bound = float(dict(labels)["le"])
        histograms[frozenset(label for label in labels if label[0] != "le")].append((bound, count))
    return {labels: _quantile(quantile, sorted(bounds)) for labels, bounds in histograms.items()}


def _quantile(quantile: float, buckets: list[tuple[float, float]]) -> float:
    wanted = quantile * buckets[-1][1]
    if not buckets[-1][1]:
        return float("nan")
    lower, below = 0.0, 0.0
    for bound, count in buckets[:-1]:
        if count >= wanted:
            return lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    return lower


def _aggregate(node: Any, vector: Vector) -> Vector:
    kinds: dict[str, Callable[[list[float]], float]] = {"sum": sum, "max": max, "min": min}
    if str(node.op) not in kinds or (node.modifier and not str(node.modifier).startswith("by")):
        raise NotImplementedError(str(node))
    kept = set(node.modifier.labels) if node.modifier else set()
    groups: dict[Labels, list[float]] = defaultdict(list)
    for labels, value in vector.items():
        groups[frozenset(label for label in labels if label[0] in kept)].append(value)
    return {labels: kinds[str(node.op)](values) for labels, values in groups.items()}


def _combine(node: Any, left: Vector | float, right: Vector | float) -> Vector:
    operation = str(node.op)
    match left, right:
        case dict(), dict() if operation == "or":
            return {**right, **left}
        case dict(), dict() if operation == "and":
            return {labels: value for labels, value in left.items() if labels in right}
        case dict(), dict():
            pairs = {labels: (value, right[labels]) for labels, value in left.items() if labels in right}
        case dict(), float():
            pairs = {labels: (value, right) for labels, value in left.items()}
        case _:
            raise NotImplementedError(str(node))
    if operation in _COMPARISON:
        return {labels: a for labels, (a, b) in pairs.items() if _COMPARISON[operation](a, b)}
    if operation == "/":
        return {labels: a / b if b else float("nan") for labels, (a, b) in pairs.items()}
    return {labels: _ARITHMETIC[operation](a, b) for labels, (a, b) in pairs.items()}
