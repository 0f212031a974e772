"""What runs in the other processes on board: storage, board server, job launcher and jobs."""
