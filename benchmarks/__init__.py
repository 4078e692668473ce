"""How fast liteq is, beside raw apsw on the same disk in the same run. No tests live here."""
