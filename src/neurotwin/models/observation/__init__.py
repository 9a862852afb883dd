"""From natural units to records and back: scaling, heads, intervals and likelihood."""
