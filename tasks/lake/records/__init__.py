"""What came in: reviews, attachments and their files, refused records, and who is to be forgotten."""
