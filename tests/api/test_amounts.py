"""Promise 2: amounts are exact from the upstream's text to the caller's."""

from fractions import Fraction

import pytest

from tests.support.errors import assert_envelope, assert_problem
from tests.support.rows import row
from tests.support.service import Service

WRITTEN = [
    ("0", "0"),
    ("0E-8", "0"),
    ("0.000000", "0"),
    ("-0", "0"),
    ("-0E+3", "0"),
    ("1E-8", "0.00000001"),
    ("1e+3", "1000"),
    ("12E2", "1200"),
    ("1000", "1000"),
    ("1000.00", "1000"),
    ("0.5000", "0.5"),
    ("-1.50", "-1.5"),
    ("0.000000000000000001", "0.000000000000000001"),
    ("0.1", "0.1"),
    ("123456789012345678901234567890", "123456789012345678901234567890"),
    ("123456789012.123456789012345678", "123456789012.123456789012345678"),
    ("9007199254740993", "9007199254740993"),
    ("0.1234567890123456789012345678", "0.1234567890123456789012345678"),
    ("9" * 60, "9" * 60),
    (7, "7"),
    (10**30, "1" + "0" * 30),
]


@pytest.mark.parametrize(("sent", "written"), WRITTEN)
async def test_an_amount_is_written_as_a_plain_decimal_of_the_same_value(
    calm: Service, newcomer: int, sent: object, written: str
) -> None:
    calm.upstream.world.set(newcomer, [row(sent, sent)])
    path = f"/v1/merchants/{newcomer}/balances"
    expected = f'"total":"{written}","free":"{written}","locked":"0"'
    for asked in (path, f"{path}/BTC", f"/v2/assets/account/assets?merchantId={newcomer}"):
        response = await calm.get(asked)
        assert expected in response.text
        assert Fraction(str(sent)) == Fraction(written)


@pytest.mark.parametrize(
    "sent",
    [
        *(
            "",
            " 1",
            "1 ",
            "NaN",
            "sNaN",
            "Infinity",
            "-inf",
            "1_000",
            "1,000",
            "0x10",
            "+1",
            "01",
            ".5",
            "1.",
            "--1",
            "1e",
        ),
        *("٣", "１", "1e999999", "1E-31", "9" * 61, None, True, 1.5, [], {}),  # noqa: RUF001  not the digits they look like
    ],
)
@pytest.mark.parametrize("field", ["total", "locked"])
async def test_an_amount_that_is_none_makes_the_whole_answer_malformed(
    calm: Service, newcomer: int, sent: object, field: str
) -> None:
    calm.upstream.world.set(newcomer, [{**row("1", "1"), field: sent}])
    response = await calm.get(f"/v1/merchants/{newcomer}/balances")
    assert_problem(response, "malformed-answer")
    assert f"$.balances[0].{field}" in response.json()["detail"]
    assert_envelope(await calm.get(f"/v2/assets/account/assets?merchantId={newcomer}"), "malformed-answer")


async def test_a_malformed_amount_of_one_merchant_harms_no_other(calm: Service, newcomer: int) -> None:
    calm.upstream.world.set(newcomer, [row("NaN")])
    assert (await calm.get(f"/v1/merchants/{newcomer}/balances")).status_code == 502
    assert (await calm.get("/v1/merchants/12345/balances")).status_code == 200


async def test_rows_of_one_asset_are_added_up_exactly(calm: Service, newcomer: int) -> None:
    rows = [row("0.1", "0.1"), row("1", "1", asset="A"), row("0.2", "0.2"), row("1E-18", 0)]
    calm.upstream.world.set(newcomer, rows)
    balances = (await calm.get(f"/v1/merchants/{newcomer}/balances")).json()["balances"]
    assert [line["assetId"] for line in balances] == ["A", "BTC"]
    assert (balances[1]["total"], balances[1]["free"]) == ("0.300000000000000001", "0.3")


async def test_after_every_move_of_the_world_the_portfolio_is_the_exact_sum_of_the_merchants(service: Service) -> None:
    world = service.upstream.world
    for _ in range(30):
        world.move()
    sums: dict[str, Fraction] = {}
    for merchant_id in world.merchant_ids:
        for line in (await service.get(f"/v1/merchants/{merchant_id}/balances")).json()["balances"]:
            sums[line["assetId"]] = sums.get(line["assetId"], Fraction(0)) + Fraction(line["total"])
    portfolio = (await service.get("/v1/portfolio")).json()["balances"]
    assert {line["assetId"]: Fraction(line["total"]) for line in portfolio} == sums
    assert not any(set("eE+") & set(line["total"]) for line in portfolio)
