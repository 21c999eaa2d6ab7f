"""What a release brings besides the image: the Helm chart and the bill of materials."""
