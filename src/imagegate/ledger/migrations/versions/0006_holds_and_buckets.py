"""The way to charges that are held, and where in a bucket an image is."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the place to assets, and the indexes of what waits."""
    where = sa.text("kind = 'hold'")
    op.create_index(
        "entries_hold", "entries", ["attempt_id"], sqlite_where=where, postgresql_where=where
    )
    for name in ("object", "sha256"):
        op.add_column("assets", sa.Column(name, sa.Text, nullable=False, server_default=""))
    where = sa.text("object = ''")
    op.create_index(
        "assets_in_folder", "assets", ["id"], sqlite_where=where, postgresql_where=where
    )
