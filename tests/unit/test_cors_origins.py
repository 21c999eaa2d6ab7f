import pytest

from app.settings.environment import read_origins


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", set()),
        ("https://app.example.com", {"https://app.example.com"}),
        ("http://localhost:3000, https://a.b", {"http://localhost:3000", "https://a.b"}),
        ("http://[::1]:8080", {"http://[::1]:8080"}),
        ("http://127.0.0.1:5173", {"http://127.0.0.1:5173"}),
        ("https://app.example.com:80,http://app.example.com:443", {"https://app.example.com:80", "http://app.example.com:443"}),
        ("https://a,https://a", {"https://a"}),
        ("https://xn--bcher-kva.example", {"https://xn--bcher-kva.example"}),
    ],
)  # fmt: skip
def test_origins_are_read_as_browsers_write_them(text: str, origins: set[str]) -> None:
    assert read_origins(text) == origins


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "app.example.com",
        "https://*.example.com",
        "https://app.example.com/",
        "https://app.example.com/app",
        "https://app.example.com?x",
        "https://user@app.example.com",
        "https://App.example.com",
        "HTTPS://app.example.com",
        "https://bücher.example",
        "https://",
        "https://-a",
        "https://app.example.com:",
        "https://app.example.com:0",
        "https://app.example.com:65536",
        "https://app.example.com:0443",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "ftp://app.example.com",
        "file://",
        "https://a b",
        "https://a\n",
        "https://a;https://b",
        ",",
    ],
)
def test_what_no_browser_would_send_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="number 1 is not"):
        read_origins(text)
    with pytest.raises(ValueError, match="number 2 is not"):
        read_origins(f"https://a,{text}")
