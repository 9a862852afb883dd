"""Migrations of the store, one file per revision in versions/; `neurotwin.store.schema` walks them."""
