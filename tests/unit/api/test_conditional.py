"""The tag of a view is that of its JSON without the time."""

import msgspec
import pytest
from msgspec import UNSET

from app.accounts import Available
from app.api.rendering.conditional import etag_of_bytes, etag_of_view
from app.api.views.accounts import AccountView, AssetView, UpstreamEnvelope, View
from app.api.views.parts import PartView
from app.balances.amounts import Amount
from app.balances.snapshots import AccountId, Row, Snapshot
from app.cache.served import Served, Source

ROW = Row('"asOf":"1970-01-01T00:00:00.000Z",', '\\"asOf":"x"', "asOf", Amount("1"), Amount("1"), Amount("0"))
SNAPSHOT = Snapshot(AccountId("1"), 1_700_000_000_000, can_deposit=True, balances=(ROW,))


@pytest.mark.parametrize(
    "view",
    [
        AccountView.of(SNAPSHOT, None),
        AccountView.of(SNAPSHOT, lambda _: False),
        AssetView.of(SNAPSHOT, ROW),
        PartView.of(Available(SNAPSHOT, Served(SNAPSHOT, Source.MEMORY)), name='"asOf":"x",'),
    ],
    ids=["all rows", "no row", "one asset", "a part"],
)
def test_a_tag_leaves_out_the_time_and_nothing_else(view: View | PartView) -> None:
    timeless = msgspec.json.encode(msgspec.structs.replace(view, as_of=UNSET))
    assert etag_of_view(view, msgspec.json.encode(view)) == etag_of_bytes(timeless)


def test_the_upstream_shape_has_no_time() -> None:
    view = UpstreamEnvelope.of(SNAPSHOT)
    assert etag_of_view(view, msgspec.json.encode(view)) == etag_of_bytes(msgspec.json.encode(view))
