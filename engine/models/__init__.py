"""What can make a picture: the adapter contract, the samplers, and one module for each family of model."""
