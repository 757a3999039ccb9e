"""Pictures and events over a peer connection: the same stream as the frame socket, carried the way calls are."""
