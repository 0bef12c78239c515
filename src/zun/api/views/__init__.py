"""From values of the model to the JSON of the contract: plain functions, one file a resource."""
