"""The built-in model: small enough to ship inside the package, and honest about what it knows.

`spec` and `vocabulary` import no torch and may be used by the server; everything else belongs to the worker.
"""
