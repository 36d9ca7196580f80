"""How Alembic runs our migrations: on the connection that it is given, in its transaction."""

from alembic import context

from imagegate.ledger.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
