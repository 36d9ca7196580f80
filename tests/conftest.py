"""What all tests share."""

pytest_plugins = ["tests.upstream.fixtures", "tests.ledger.databases", "tests.s3"]
