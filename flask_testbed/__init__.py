"""Real PostgreSQL for every test of a Flask application."""
