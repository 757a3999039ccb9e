"""One user's stream, in the server process: from the newest camera frame to a labelled frame in every slot."""
