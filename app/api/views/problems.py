"""Bodies of error answers (RFC 9457)."""

from typing import Annotated, Self

from msgspec import UNSET, Meta, Struct, UnsetType

from app.api.problem_kinds import kind_of, retry_after_seconds
from app.errors import TallygateError

Merchant = Annotated[int, Meta(ge=1, description="The merchant, as the upstream numbers it.")]


class PartProblem(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Why a part is missing (RFC 9457, as a member)."""

    type: Annotated[str, Meta(description="A path of this service that explains this kind of problem.")]
    title: str
    status: int
    detail: str
    retry_after: Annotated[int, Meta(ge=0, description="Seconds.")] | UnsetType = UNSET

    @classmethod
    def of(cls, error: TallygateError) -> Self:
        """Show the error that a read of this part alone would have got."""
        kind, retry_after = kind_of(error), retry_after_seconds(error)
        return cls(f"/problems/{kind.name}", kind.title, kind.status, error.detail, retry_after)


class FailedPart(Struct, frozen=True, rename="camel"):
    """A merchant that is missing in an answer that was wanted whole."""

    merchant_id: Merchant
    problem: PartProblem


class Problem(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What went wrong (RFC 9457)."""

    type: Annotated[str, Meta(description="A path of this service that explains this kind of problem.")]
    title: str
    status: int
    detail: str
    instance: Annotated[str, Meta(description="The path that was asked for.")]
    request_id: str
    retry_after: Annotated[int, Meta(ge=0, description="Seconds, as in the Retry-After header.")] | UnsetType = UNSET
    kept_from: Annotated[str, Meta(description="Since when the past is known.")] | UnsetType = UNSET
    failed: Annotated[tuple[FailedPart, ...], Meta(description="Each part that is missing.")] | UnsetType = UNSET
