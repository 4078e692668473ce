"""What keeps jobs: the Engine protocol, and behind it one package for each database."""
