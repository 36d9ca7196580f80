"""The only sockets to upstreams: exchanges, credentials, untrusted urls, and the sandbox."""
