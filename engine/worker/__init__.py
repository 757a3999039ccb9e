"""The resident model in a process of its own, and what starts, feeds and watches that process."""
