from msgspec.structs import replace

from app.api.rendering.conditional import etag_of_list
from app.api.views.portfolio import BreakdownView, SweepView
from app.portfolio.parts import Parts
from app.portfolio.sweep_figures import SweepState


def test_the_tag_of_a_view_does_not_depend_on_how_the_sweep_is() -> None:
    view = BreakdownView.of(Parts((), (), {}))
    swept = [replace(view, sweep=SweepView(SweepState.RUNNING, seconds, 9)) for seconds in (1, 2)]
    assert len({etag_of_list(one) for one in [view, *swept]}) == 1
