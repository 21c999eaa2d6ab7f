"""Access: who is asking, what they may read, and how fast."""
