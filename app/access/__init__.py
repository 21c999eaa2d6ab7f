"""Who is asking, what they may read, and how fast."""
