"""Tallygate client: merchants' balances, exact, and never taken for fresh and whole unasked."""

from tallygate_client.answers import Answer
from tallygate_client.async_client import AsyncClient
from tallygate_client.client import Client
from tallygate_client.live import Balances, Disconnected, FeedChanges, Gap, Heartbeat, Hello, Synced
from tallygate_client.models import FreshPart, MissingPart, Part, StalePart
from tallygate_client.problems import (
    EnvelopeError,
    ForbiddenError,
    GoneError,
    InvalidRequestError,
    NoAnswerError,
    NotAcceptedError,
    NotFoundError,
    ProblemError,
    StatusError,
    TallygateError,
    TooFastError,
    UnauthenticatedError,
    UnavailableError,
    UnexpectedAnswerError,
)

__all__ = [
    "Answer",
    "AsyncClient",
    "Balances",
    "Client",
    "Disconnected",
    "EnvelopeError",
    "FeedChanges",
    "ForbiddenError",
    "FreshPart",
    "Gap",
    "GoneError",
    "Heartbeat",
    "Hello",
    "InvalidRequestError",
    "MissingPart",
    "NoAnswerError",
    "NotAcceptedError",
    "NotFoundError",
    "Part",
    "ProblemError",
    "StalePart",
    "StatusError",
    "Synced",
    "TallygateError",
    "TooFastError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnexpectedAnswerError",
]
