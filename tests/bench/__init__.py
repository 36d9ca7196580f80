"""The benchmark must notice a wrong answer."""
