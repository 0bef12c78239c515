"""The use cases. The only callers of store writes from the API's side; knows neither HTTP nor drivers."""
