"""Tallygate: an aggregating gateway for merchant crypto balances."""
