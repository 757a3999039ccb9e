"""`liveglass chaos`: breaks a running server on purpose and says what its viewers saw of that."""
