"""The upstream's routes: from a request to the answer that the document promises. No I/O."""

import re
from collections.abc import Callable, Collection
from http import HTTPStatus

from sandbox import directory
from sandbox.accounts import Account
from sandbox.directory import Merchant, Question
from sandbox.messages import BALANCES_PATH, UNKNOWN_TOKEN, UNLISTED_ADDRESS, Answer, Request, envelope, refusal
from sandbox.scenarios import ASSETS
from sandbox.tokens import Tokens
from sandbox.world import World

_MC_NOT_EXIST = envelope(-5006, "MC_NOT_EXIST")
_PARAM_ERROR = envelope(-4010, "PARAM_ERROR")
_CRYPTOS = [{"crypto": asset, "accuracy": decimals} for asset, (_, decimals) in ASSETS.items()]

_NUMBER = re.compile(r"-?[0-9]{1,15}", re.ASCII)


class Upstream:
    """Answer as the vendor does; what was rendered of an account is kept until the account moves."""

    def __init__(self, world: World, tokens: Tokens, seed: int, addresses: Collection[str] | None) -> None:
        self._world = world
        self._tokens = tokens
        self._seed = seed
        self._addresses = addresses
        self._rendered: dict[int, tuple[Account, Answer]] = {}
        self._entries: dict[int, Merchant] = {}
        self._routes: dict[str, Callable[[Request], Answer]] = {
            BALANCES_PATH: self._balances,
            "/v2/merchants": self._merchants,
            "/v2/token/generate": self._token,
            "/v2/base/cryptos": self._cryptos,
        }

    def answer(self, request: Request) -> Answer:
        """Answer one request by what is true now."""
        if self._addresses is not None and request.peer not in self._addresses:
            return UNLISTED_ADDRESS
        route = self._routes.get(request.path)
        if route is None:
            return refusal(HTTPStatus.NOT_FOUND)
        if request.method != "GET":
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED)
        return route(request)

    def _balances(self, request: Request) -> Answer:
        if not self._authorised(request):
            return UNKNOWN_TOKEN
        merchant_id = request.merchant_id
        if merchant_id is None:
            return _PARAM_ERROR
        account = self._world.account(merchant_id)
        if account is None:
            return _MC_NOT_EXIST
        before, answer = self._rendered.get(merchant_id, (None, _MC_NOT_EXIST))
        if before is not account:
            answer = _rendered(account)
            self._rendered[merchant_id] = (account, answer)
        return answer

    def _merchants(self, request: Request) -> Answer:
        if not self._authorised(request):
            return UNKNOWN_TOKEN
        question = _question(request)
        if question is None:
            return _PARAM_ERROR
        return _success(directory.page(map(self._entry, self._world.merchant_ids), question))

    def _entry(self, merchant_id: int) -> Merchant:
        if merchant_id not in self._entries:
            self._entries[merchant_id] = directory.entry(merchant_id, self._seed)
        return self._entries[merchant_id]

    def _token(self, request: Request) -> Answer:
        timestamp, signature = request.one("timestamp"), request.one("signature")
        if timestamp is None or signature is None or not _NUMBER.fullmatch(timestamp):
            return _PARAM_ERROR
        if not self._tokens.may_mint(request.headers.get("x-bh-apikey"), int(timestamp), signature):
            return refusal(HTTPStatus.UNAUTHORIZED, "SIGNATURE_INVALID")
        return _success(self._tokens.mint())

    def _cryptos(self, _request: Request) -> Answer:
        return _success(_CRYPTOS)

    def _authorised(self, request: Request) -> bool:
        return self._tokens.accepts(request.headers.get("x-bh-token"))


def _rendered(account: Account) -> Answer:
    return _success({"canDeposit": account.can_deposit, "balances": account.balances})


def _success(data: object) -> Answer:
    return envelope(200, "SUCCESS", data)


def _question(request: Request) -> Question | None:
    numbers = {name: request.one(name) for name in ("status", "currentPage", "pageSize") if name in request.query}
    if not all(text is not None and _NUMBER.fullmatch(text) for text in numbers.values()):
        return None
    given = {name: int(text) for name, text in numbers.items() if text is not None}
    question = Question(
        status=given.get("status", directory.NORMAL),
        page=given.get("currentPage", 1),
        page_size=given.get("pageSize", 10),
        name=request.one("merchantName") or "",
        email=request.one("email") or "",
    )
    in_range = question.page >= 1 and 1 <= question.page_size <= directory.LARGEST_PAGE
    return question if in_range and question.status in directory.STATUSES else None
