"""Strategies for every value that a record's type allows, made from what msgspec knows of the type."""

from functools import singledispatch
from typing import Any, get_type_hints

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType, inspect

from app.balances.amounts import CheckedAmount
from tests.support.amounts import amounts

LONGEST = 5

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a type."""
    return _of(inspect.type_info(kind))


@singledispatch
def _of(info: Any) -> st.SearchStrategy[Any]:
    raise TypeError(info)


@_of.register
def _(info: inspect.Metadata) -> st.SearchStrategy[Any]:
    return _of(info.type)


@_of.register
def _(info: inspect.StructType) -> st.SearchStrategy[Any]:
    hints = get_type_hints(info.cls, include_extras=True)
    fields = {}
    for field in info.fields:
        hint = hints[field.name]
        values = amounts if hint is CheckedAmount else _of(field.type)  # what msgspec does not check, the struct does
        fields[field.name] = st.just(UNSET) | values if UnsetType in getattr(hint, "__args__", ()) else values
    return st.builds(info.cls, **fields)


@_of.register
def _(info: inspect.UnionType) -> st.SearchStrategy[Any]:
    return st.one_of(*map(_of, info.types))


@_of.register
def _(info: inspect.VarTupleType) -> st.SearchStrategy[Any]:
    return st.lists(_of(info.item_type), max_size=LONGEST).map(tuple)


@_of.register
def _(info: inspect.ListType) -> st.SearchStrategy[Any]:
    return st.lists(_of(info.item_type), max_size=LONGEST)


@_of.register
def _(info: inspect.DictType) -> st.SearchStrategy[Any]:
    return st.dictionaries(_of(info.key_type), _of(info.value_type), max_size=LONGEST)


@_of.register
def _(info: inspect.StrType) -> st.SearchStrategy[Any]:
    if info.pattern is None:
        return st.text(min_size=info.min_length or 0, max_size=info.max_length)
    return st.from_regex(info.pattern.removesuffix(r"(?!\n)").replace("$", r"\Z"), fullmatch=True)


@_of.register
def _(info: inspect.IntType) -> st.SearchStrategy[Any]:
    return st.integers(-(2**63) if info.ge is None else info.ge, 2**63 - 1 if info.le is None else info.le)


@_of.register
def _(info: inspect.FloatType) -> st.SearchStrategy[Any]:
    return st.floats(info.ge, info.le, allow_nan=False, allow_infinity=False)


@_of.register
def _(_: inspect.BoolType) -> st.SearchStrategy[Any]:
    return st.booleans()


@_of.register
def _(_: inspect.NoneType) -> st.SearchStrategy[Any]:
    return st.none()


@_of.register
def _(_: inspect.BytesType) -> st.SearchStrategy[Any]:
    return st.binary(max_size=50)


@_of.register
def _(info: inspect.EnumType) -> st.SearchStrategy[Any]:
    return st.sampled_from(list(info.cls))


@_of.register
def _(info: inspect.LiteralType) -> st.SearchStrategy[Any]:
    return st.sampled_from(list(info.values))


@_of.register
def _(_: inspect.RawType) -> st.SearchStrategy[Any]:
    return _JSON.map(msgspec.json.encode).map(msgspec.Raw)
