"""Sessions, the 24 fps grid, stand-ins, the worker and the models. No sockets and no HTTP in here."""
