"""HTTP for the master: routes as data, one wrapper that reads, checks, answers and counts, OpenAPI made from the routes."""
