"""The pure half of file delivery: telecommands and storage answers in, instructions out."""
