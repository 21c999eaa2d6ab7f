"""What a running service shows to Prometheus."""

from tests.support.gateway import Gateway
from tests.support.scrapes import scrape

UNKNOWN = {
    "tallygate_token_seconds_left",  # of a token that is given as a value
    "tallygate_reconciliation_assets",  # before there was one
    "tallygate_reconciliation_timestamp_seconds",
    "tallygate_sweep_oldest_seconds",  # while nobody asks for all merchants
    "tallygate_sweep_round_seconds",
    "tallygate_sweep_unknown",
    "tallygate_key_seconds_left",  # of callers whose keys end
    "tallygate_event_keys_ok",  # while there are none
    "tallygate_streams",  # by format, while there is none
}


async def test_every_gauge_has_a_value_but_for_what_cannot_be_known(gateway: Gateway) -> None:
    for path in ("/v1/portfolio", "/v1/merchants"):
        await gateway.get(path)
    families = (await scrape(gateway.client)).families.values()
    assert {family.name for family in families if family.type == "gauge" and not family.samples} == UNKNOWN
