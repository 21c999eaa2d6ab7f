"""What a scrape says, read by Prometheus' own parser."""

import httpx
from prometheus_client.parser import text_string_to_metric_families


class Scraped:
    """The metrics of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels, 0 if there is none."""
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())

    def has(self, name: str) -> bool:
        """Whether there is any sample of this name."""
        return any(sample.name == name for sample in self.samples)


async def scrape(client: httpx.AsyncClient, url: str = "/metrics") -> Scraped:
    """Scrape a service."""
    answer = await client.get(url)
    assert answer.status_code == 200, answer.text
    return Scraped(answer.text)
