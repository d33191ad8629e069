"""The same application, for Django."""
