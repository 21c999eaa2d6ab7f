"""What is known of one request, and how an error or a finished reply is sent to it."""

from litestar.types import HTTPScope, Send

from app.api.problem_kinds import kind_of
from app.api.rendering.problems import render_problem
from app.api.replies import RawReply, Reply, as_body, as_start
from app.errors import TallygateError


def render_refusal(error: TallygateError, scope: HTTPScope) -> Reply:
    """Render an error for a request, and note which it was."""
    scope["state"]["problem"] = kind_of(error).name
    return render_problem(error, scope["path"], scope["state"]["request_id"])


async def send_reply(reply: Reply, send: Send) -> None:
    """Send a finished answer."""
    written = RawReply.of(reply)
    await send(as_start(written.status, written.headers))
    await send(as_body(written.body))
