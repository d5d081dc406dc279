"""From video files to sharded records: resized once, and cheap to read again and again."""
