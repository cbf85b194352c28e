"""`report.html`, and the tables and pictures beside it."""
