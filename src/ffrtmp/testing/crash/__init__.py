"""Databases that are killed under load: SQLite by kill -9 and by cuts of the power, PostgreSQL by immediate stops."""
