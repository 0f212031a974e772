"""The ground server: links, decoding, archive, commanding, files, and the API for clients."""
