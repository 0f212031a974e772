"""What any Linux computer tells of itself, its watchdog and its host bus."""
