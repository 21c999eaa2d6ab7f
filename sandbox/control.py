"""Control port: faults, counters, merchants, events and tokens, for clients in other processes."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from sandbox.amounts import exact
from sandbox.counters import Counters
from sandbox.disagreement import Disagreement
from sandbox.events import Delivery, Events
from sandbox.faults import Fault
from sandbox.messages import Answer, Request, as_json
from sandbox.planning import Faults
from sandbox.server import Connection
from sandbox.tokens import Tokens
from sandbox.world import World

_DONE = as_json(200, {"ok": True})
_NO_FAULT = as_json(404, {"error": "no such fault"})
_NO_MERCHANT = as_json(404, {"error": "no such merchant"})
_LONGEST_WAIT_SECONDS = 10.0


class NewMerchant(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Hold the body of PUT /merchants/{id}."""

    balances: list[dict[str, Any]]
    can_deposit: bool = True


class NewToken(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Hold the body of POST /token; what is absent stays as it is."""

    token: str | None = None
    lifetime_seconds: float | None = None
    new_voids_old: bool | None = None


class Discrepancy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold the body of POST /discrepancy."""

    asset: str
    amount: str


Handler = Callable[..., Awaitable[Answer]]


class Control:
    """Answer the control port. A wrong body is a 400 that says what is wrong with it."""

    def __init__(self, world: World, tokens: Tokens, faults: Faults, counters: Counters, events: Events) -> None:
        self._world = world
        self._tokens = tokens
        self._faults = faults
        self._counters = counters
        self._events = events
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile(path, re.ASCII), handler)
            for method, path, handler in (
                ("GET", "/faults", self._list_faults),
                ("POST", "/faults", self._add_fault),
                ("DELETE", "/faults", self._clear_faults),
                ("DELETE", r"/faults/(\d{1,18})", self._remove_fault),
                ("GET", "/counters", self._count),
                ("DELETE", "/counters", self._reset_counters),
                ("PUT", r"/merchants/([1-9]\d{0,18})", self._set_merchant),
                ("DELETE", r"/merchants/([1-9]\d{0,18})", self._delete_merchant),
                ("POST", r"/merchants/([1-9]\d{0,18})/move", self._move_merchant),
                ("GET", r"/merchants/(0|[1-9]\d{0,18})/history", self._tell_truth),
                ("POST", r"/merchants/([1-9]\d{0,18})/event", self._send_event),
                ("GET", "/events", self._show_events),
                ("PUT", "/events", self._deliver_events),
                ("POST", "/discrepancy", self._disturb),
                ("PUT", "/disagreement", self._disagree),
                ("POST", "/token", self._change_token),
                ("POST", "/token/expire", self._expire_tokens),
            )
        ]

    def serve(self, request: Request, wire: Connection) -> None:
        """Answer one request."""
        wire.run(self._answer(request, wire), lambda: None)

    async def _answer(self, request: Request, wire: Connection) -> None:
        try:
            wire.send(await self._routed(request))
        except (ValueError, RecursionError) as error:
            wire.send(as_json(400, {"error": str(error)}))

    async def _routed(self, request: Request) -> Answer:
        methods = set()
        for method, path, handler in self._routes:
            if (match := path.fullmatch(request.path)) is not None:
                if method == request.method:
                    return await handler(request, *map(int, match.groups()))
                methods.add(method)
        return as_json(405 if methods else 404, {"error": f"no {request.method} here", "methods": sorted(methods)})

    async def _list_faults(self, _request: Request) -> Answer:
        return as_json(200, {"faults": self._faults.as_document()})

    async def _add_fault(self, request: Request) -> Answer:
        return as_json(200, {"id": self._faults.add(msgspec.json.decode(request.body, type=Fault))})

    async def _clear_faults(self, _request: Request) -> Answer:
        return as_json(200, {"removed": self._faults.clear()})

    async def _remove_fault(self, _request: Request, fault_id: int) -> Answer:
        return as_json(200, {"removed": 1}) if self._faults.remove(fault_id) else _NO_FAULT

    async def _count(self, request: Request) -> Answer:
        calls, seconds = request.one("calls"), request.one("timeoutSeconds")
        try:
            async with asyncio.timeout(_LONGEST_WAIT_SECONDS if seconds is None else float(seconds)):
                await self._counters.calls(0 if calls is None else int(calls))
        except TimeoutError:
            return as_json(408, self._counters.as_document())
        return as_json(200, self._counters.as_document())

    async def _reset_counters(self, _request: Request) -> Answer:
        self._counters.reset()
        return _DONE

    async def _set_merchant(self, request: Request, merchant_id: int) -> Answer:
        merchant = msgspec.json.decode(request.body, type=NewMerchant)
        self._world.set(merchant_id, merchant.balances, can_deposit=merchant.can_deposit)
        return _DONE

    async def _delete_merchant(self, _request: Request, merchant_id: int) -> Answer:
        if self._world.account(merchant_id) is None:
            return _NO_MERCHANT
        self._world.delete(merchant_id)
        return _DONE

    async def _move_merchant(self, _request: Request, merchant_id: int) -> Answer:
        if self._world.account(merchant_id) is None:
            return _NO_MERCHANT
        self._world.move(merchant_id)
        return _DONE

    async def _tell_truth(self, _request: Request, merchant_id: int) -> Answer:
        return as_json(200, self._world.truth.as_document(merchant_id))

    async def _send_event(self, _request: Request, merchant_id: int) -> Answer:
        self._events.send(merchant_id)
        return _DONE

    async def _show_events(self, _request: Request) -> Answer:
        events = self._events
        answers = {str(status): count for status, count in events.answers.items()}
        return as_json(200, {"publicKey": events.public_key, "delivery": events.delivery, "answers": answers})

    async def _deliver_events(self, request: Request) -> Answer:
        self._events.delivery = msgspec.json.decode(request.body, type=Delivery)
        return _DONE

    async def _disturb(self, request: Request) -> Answer:
        discrepancy = msgspec.json.decode(request.body, type=Discrepancy)
        amount = exact(discrepancy.amount)
        if amount is None:
            raise ValueError("amount is no decimal")
        self._world.disturb(discrepancy.asset, amount)
        return _DONE

    async def _disagree(self, request: Request) -> Answer:
        self._world.disagree(msgspec.json.decode(request.body, type=Disagreement))
        return _DONE

    async def _change_token(self, request: Request) -> Answer:
        change = msgspec.json.decode(request.body, type=NewToken)
        if change.token is not None:
            self._tokens.set_static(change.token)
        if change.lifetime_seconds is not None:
            self._tokens.lifetime_seconds = change.lifetime_seconds
        if change.new_voids_old is not None:
            self._tokens.new_voids_old = change.new_voids_old
        return _DONE

    async def _expire_tokens(self, _request: Request) -> Answer:
        self._tokens.expire_all()
        return _DONE
