"""The admin routes, through a gateway that runs."""
