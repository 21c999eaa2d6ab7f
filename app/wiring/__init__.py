"""One builder per part, each from one section of the settings."""
