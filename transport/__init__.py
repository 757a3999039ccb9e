"""The wire: bytes to frames and events, and back. Knows sessions, knows no HTTP routes."""
