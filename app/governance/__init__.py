"""Who the agents are, and how far they are trusted."""
