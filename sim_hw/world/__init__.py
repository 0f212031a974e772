"""The surroundings of a payload in orbit, on one clock and one seed."""
