"""Watch: who follows accounts, how young these are kept for it, and what each of them is shown as."""
