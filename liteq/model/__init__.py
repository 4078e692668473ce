"""Values and rules: what a job is and how it may move. No clock, disk or thread lives here."""
