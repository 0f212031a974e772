"""Stories over the link: real processes, real sockets, one payload and one ground server each."""
