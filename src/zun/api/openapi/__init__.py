"""The OpenAPI 3.1 document, made from the routes, the schemas and the policies; and the page for people."""
