"""One function an endpoint, one file a resource: judge, ask the service, show."""
