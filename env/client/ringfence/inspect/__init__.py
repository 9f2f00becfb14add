"""The benchmark as a task of Inspect (https://inspect.aisi.org.uk): its tools call the service, its scorer reads it."""
