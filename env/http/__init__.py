"""The service over HTTP: each endpoint unpacks, delegates and returns."""
