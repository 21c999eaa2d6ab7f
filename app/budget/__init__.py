"""The upstream call budget: how often the fleet may call, and who is next."""
