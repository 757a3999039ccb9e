"""Models that diffusers knows: Stable Diffusion and its like."""
