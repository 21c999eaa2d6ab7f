"""Write the OpenAPI document as clients are made of it: `python -m tests.support.write_document FILE`."""

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path

from app.api.openapi.completion import complete
from tests.support.apps import read_framework


async def _document() -> str:
    document = complete(await read_framework(lambda framework: framework.openapi_schema.to_schema()))
    document["info"]["version"] = version("tallygate")
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(asyncio.run(_document()))
