"""History of balances: the looks at each account, the changes between them, and the feed of all changes."""
