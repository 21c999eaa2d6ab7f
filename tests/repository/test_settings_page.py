import re
from pathlib import Path

from msgspec.structs import fields

from app.settings.sections import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_readme_lists_every_setting_and_no_other() -> None:
    table = README.partition("### Settings")[2].partition("|---|")[2].partition("\n\n")[0]
    listed = [name for row in table.splitlines()[1:] for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1])]
    settings = [one.encode_name.upper() for section in fields(Settings) for one in fields(section.type)]
    assert sorted([*listed, "UPSTREAM_TOKEN_FILE", "REDIS_URL_FILE", "HISTORY_REDIS_URL_FILE"]) == sorted(settings)
