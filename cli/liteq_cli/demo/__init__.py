"""The application that ``liteq demo`` runs."""
