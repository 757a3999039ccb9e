"""Where the generated picture would be now: it is moved along with the camera (asynchronous reprojection)."""
