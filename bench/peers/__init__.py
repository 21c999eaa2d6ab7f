"""What Tallygate is measured against."""
