"""The limit of open files: raised where that is allowed, else divided so that no worker runs out of them."""

import json
import subprocess
import sys

import pytest

from app.secret import Secret
from app.server.descriptors import plan_descriptors
from tests.support.settings import make_settings

SETTINGS = make_settings(upstream_url="http://a", upstream_token=Secret("t"), clients_file="c")
PLAN = """
import json, resource, sys
from app.errors import StartError
from app.secret import Secret
from app.server.descriptors import plan_descriptors
from tests.support.settings import make_settings
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
settings = make_settings(upstream_url="http://a", upstream_token=Secret("t"), clients_file="c")
try:
    checked = plan_descriptors(settings)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    plan = plan_descriptors(settings, raises=True)
    print(json.dumps([checked == plan, before, plan.limit, plan.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0]]))
except StartError as error:
    print(json.dumps(error.detail))
"""
NEEDED = plan_descriptors(SETTINGS).needed


def plan(soft: int, hard: int) -> list[int] | str:
    """Plan in a process with these limits."""
    finished = subprocess.run(
        [sys.executable, "-c", PLAN, str(soft), str(hard)], capture_output=True, check=True, text=True
    )
    found: list[int] | str = json.loads(finished.stdout)
    return found


@pytest.mark.parametrize(
    ("soft", "hard", "limit", "connections"),
    [
        (256, 4096, NEEDED, 1000),
        (1024, NEEDED, NEEDED, 1000),
        (4096, 4096, 4096, 1000),
        (1024, 1024, 1024, 1024 - (NEEDED - 1000)),
        (300, 1024, 1024, 1024 - (NEEDED - 1000)),
        (256, 256, 256, 128),
        (96, 96, 96, 48),
    ],
)
def test_the_limit_is_raised_as_far_as_needed_and_allowed(soft: int, hard: int, limit: int, connections: int) -> None:
    assert plan(soft, hard) == [True, soft, limit, connections, limit]


def test_too_low_a_limit_is_a_reason_not_to_start() -> None:
    assert "ulimit -n" in plan(95, 95)
