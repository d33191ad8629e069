"""Projects, and the sessions in which agents work on them."""
