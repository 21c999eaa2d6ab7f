"""The README's examples are accepted by the code that they are for."""

from pathlib import Path

from app.access.clients_file import parse_clients

README = Path(__file__).parents[2] / "README.md"


def test_the_issuers_of_the_readme_are_accepted() -> None:
    blocks = README.read_text().split("```toml\n")[1:]
    (example,) = (block.partition("```")[0] for block in blocks if block.startswith("[[issuer]]"))
    assert [issuer.name for issuer in parse_clients(example, "x").issuers] == ["kc", "k8s"]
