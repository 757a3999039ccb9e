"""Rectified-flow transformers over packed latents: FLUX.2 Klein and its like."""
