"""The person mask: who is in front of the camera, and what is laid over what."""
