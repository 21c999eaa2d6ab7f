"""Applications that Tallygate is measured against."""
