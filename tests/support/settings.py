"""Settings as tests name them."""

from typing import Any

from msgspec.structs import fields

from app.settings.sections import Settings


def make_settings(**given: Any) -> Settings:
    """Make settings of values by their names in the environment, in lower case. The others have their defaults."""
    sections = {}
    for section in fields(Settings):
        names = {setting.encode_name: setting.name for setting in fields(section.type)}
        sections[section.name] = section.type(**{names[name]: given.pop(name) for name in names if name in given})
    assert not given, f"there are no settings {', '.join(given)}"
    return Settings(**sections)
