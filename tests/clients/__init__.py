"""The running gateway, driven by the clients that people use."""
